"""A whole stack (databases, API, ingester, worker, beat) and the `lsec` command against it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsec.core.settings import Settings
from lsec.local import running_stack
from tests.whole_loops import require_whole_loops

COMMAND_TIMEOUT_S = 240
NUM_USERS, NUM_PRODUCTS, NUM_STREAMERS, BUYS_PER_USER = 60, 40, 4, 8


@dataclass(frozen=True, slots=True)
class Lsec:
    """Runs `lsec` as its users do: a process, with the address and the key in the environment."""

    environment: dict[str, str]

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command printed; its exit code must be `code`."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lsec")), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == code, (
            f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """The command's answer for machines."""
        return json.loads(self.run(*arguments, "--json"))


@pytest.fixture(scope="session")
def full_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a whole stack of its own, as `lsec up` starts it."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("full"),
        bolt_port=0,
        valkey_port=0,
        api_port=0,
        neo4j_heap_mb=512,
        neo4j_page_cache_mb=128,
    )
    with running_stack(settings) as stack:
        yield stack.settings
        require_whole_loops(settings.data_dir)


@pytest.fixture(scope="session")
def lsec(full_stack: Settings) -> Lsec:
    """The command, with an admin's key."""
    environment = {
        **os.environ,
        "COLUMNS": "200",
        "LSEC_DATA_DIR": str(full_stack.data_dir),
        "LSEC_NEO4J_URL": full_stack.neo4j_url,
        "LSEC_LOG_URL": full_stack.log_url.get_secret_value(),
        "LSEC_BROKER_URL": full_stack.broker_url.get_secret_value(),
        "LSEC_URL": f"http://127.0.0.1:{full_stack.api_port}",
    }
    secret = Lsec(environment).run("keys", "create", "--scope", "admin", "--name", "e2e").strip()
    return Lsec({**environment, "LSEC_API_KEY": secret})


@pytest.fixture(scope="session")
def paper_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small market of two tastes in the paper's layout, with a test part of held-out purchases."""
    folder = tmp_path_factory.mktemp("market")
    rng = np.random.default_rng(3)
    bought = {
        user: rng.choice(np.arange(user % 2, NUM_PRODUCTS, 2), BUYS_PER_USER, replace=False).tolist()
        for user in range(NUM_USERS)
    }
    pairs = [(user, item) for user, items in bought.items() for item in items]
    held_out = {(user, items[0]) for user, items in bought.items()}
    tables: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
        "train/user": ("user", [(f"u{u}",) for u in range(NUM_USERS)]),
        "train/item": ("item", [(f"p{p}",) for p in range(NUM_PRODUCTS)]),
        "train/streamer": ("streamer", [(f"s{s}",) for s in range(NUM_STREAMERS)]),
        "train/user-streamer-follow": (
            "user\tstreamer",
            [(f"u{u}", f"s{u % NUM_STREAMERS}") for u in range(NUM_USERS)],
        ),
        "train/streamer-item-sell": (
            "streamer\titem",
            [(f"s{p % NUM_STREAMERS}", f"p{p}") for p in range(NUM_PRODUCTS)],
        ),
        "train/user-item-buy": (
            "user\titem",
            [(f"u{u}", f"p{p}") for u, p in pairs if (u, p) not in held_out],
        ),
        "test/user-item-buy": (
            "user\titem\tvalue",
            [
                (f"u{u}", f"p{p}", int((u, p) in held_out))
                for u in range(NUM_USERS)
                for p in range(NUM_PRODUCTS)
                if (u, p) not in pairs or (u, p) in held_out
            ],
        ),
    }
    for name, (header, rows) in tables.items():
        path = folder / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return folder
