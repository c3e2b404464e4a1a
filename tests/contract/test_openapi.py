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


def test_every_operation_with_a_key_describes_its_errors_as_problems() -> None:
    schema = current()
    assert "HTTPValidationError" not in json.dumps(schema)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            errors = {s: answer for s, answer in operation["responses"].items() if s >= "4"}
            assert all(answer["content"] == content for answer in errors.values()), (method, path)
            if path.startswith("/v1/"):
                assert errors.keys() >= {"401", "403", "422", "503"}, (method, path)
            assert ("404" in errors) >= ("{training_id}" in path or "{release_id}" in path), (method, path)


def test_operations_are_called_as_their_functions_are() -> None:
    ids = [op["operationId"] for operations in current()["paths"].values() for op in operations.values()]
    assert len(set(ids)) == len(ids)
    assert {"post_events", "post_training", "get_recommendations"} <= set(ids)


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(current(), indent=2, sort_keys=True) + "\n")
