"""What asks whether a service is ready does not wait for one that is away."""

import time
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from lsec.core.settings import Settings
from lsec.local.readiness import worker_answers
from lsec.local.sockets import free_port


def test_a_worker_is_not_waited_for_while_its_broker_is_down(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, broker_url=SecretStr(f"redis://127.0.0.1:{free_port()}/1"))
    asked_at = time.monotonic()
    with pytest.raises(OperationalError):
        worker_answers(settings, "worker")
    # Kombu would try for six seconds, in the thread that is to start the broker again.
    assert time.monotonic() - asked_at < 4
