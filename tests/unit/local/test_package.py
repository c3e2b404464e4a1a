"""The package as its callers and its own processes see it."""

import subprocess
import sys

import pytest

import lsec.local


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(lsec.local, name) is not None for name in lsec.local.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lsec.local.nothing  # noqa: B018 - it must not exist


def test_the_process_of_neo4j_does_not_load_the_clients_of_other_services() -> None:
    code = (
        "import lsec.local.neo4j_server, sys; print(sorted({'celery', 'neo4j', 'redis'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
