"""API and ingesters on the databases of a benchmark's stack, started anew with settings of their own."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

import psutil

from bench.load import Target
from lsec.cli.key_ledger import create
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local.services import ServiceSpec, api, environment, ingester
from lsec.local.sockets import free_port


@contextlib.contextmanager
def serving(
    databases: Settings, secret: str, **changes: int
) -> Iterator[tuple[Target, dict[str, psutil.Process]]]:
    """API and ingesters on the stack's databases, with some settings changed; their processes by name."""
    settings = databases.model_copy(update={"api_port": free_port(), **changes})
    specs = [api(settings), *(ingester(settings, shard) for shard in range(settings.shards))]
    variables = os.environ | environment(settings)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((settings.data_dir / "bench.log").open("ab"))
        processes = {}
        for spec in specs:
            popen = subprocess.Popen(spec.command, env=variables, stdout=log, stderr=log)
            stack.callback(popen.wait)
            stack.callback(popen.terminate)
            processes[spec.name] = psutil.Process(popen.pid)
        for spec in specs:
            _await(spec, settings)
        yield Target(settings, secret), processes


def _await(spec: ServiceSpec, settings: Settings) -> None:
    deadline = time.monotonic() + spec.ready_timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):  # until it listens, a probe fails in its client's own way
            if spec.ready(settings):
                return
        time.sleep(0.1)
    raise SystemExit(f"{spec.name} did not start")


def make_key(settings: Settings, scope: Scope = Scope.INGEST) -> str:
    """The secret of a new key."""
    return asyncio.run(create(settings, "bench", scope))[1]
