"""The API's contract is the one in `openapi.json`; a change to it is a change to that file.

Write it anew after a wanted change: `python -m tests.contract.test_openapi`.
"""

import json
from pathlib import Path
from typing import Any

from lsec.api.app import create_app
from lsec.core.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")


def current() -> dict[str, Any]:
    """The contract as the code has it, without the distribution's version."""
    schema = create_app(Settings()).openapi()
    del schema["info"]["version"]
    return schema


def test_the_contract_is_the_snapshot() -> None:
    assert current() == json.loads(SNAPSHOT.read_text()), __doc__


def test_every_operation_says_what_it_does_and_answers() -> None:
    for path, operations in current()["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            assert operation["tags"], (method, path)
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            assert any(answer.get("content") for answer in answers), (method, path)


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(current(), indent=2, sort_keys=True) + "\n")
