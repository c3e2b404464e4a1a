"""Settings from the environment: a wrong or mistyped variable is named, with the remedy."""

import os
import subprocess
import sys

import pytest

READ = "from lsec.core.settings import load_settings; print(load_settings().api_port)"


def read(**variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LSEC_")}
    return subprocess.run(
        [sys.executable, "-c", READ], env={**clean, **variables}, capture_output=True, text=True, check=False
    )


def test_a_variable_sets_its_setting() -> None:
    assert read(LSEC_API_PORT="8123").stdout == "8123\n"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"LSEC_API_PORT": "many"}, "LSEC_API_PORT: Input should be a valid integer"),
        ({"LSEC_CURRENCY": "euro"}, "LSEC_CURRENCY"),
        ({"LSEC_API_PROT": "8000"}, "There is no setting LSEC_API_PROT. Did you mean LSEC_API_PORT?"),
        ({"LSEC_QQQQQQQ": "1"}, "the README lists all settings"),
    ],
)
def test_a_bad_variable_is_named(variables: dict[str, str], complaint: str) -> None:
    done = read(**variables)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_log_limit_near_valkeys_memory_is_refused_with_both_variables_and_values_that_work() -> None:
    complaint = read(LSEC_VALKEY_MAX_MEMORY_MB="512").stderr
    assert "LSEC_MAX_LOG_MEMORY_MB is 768, more than 75% of LSEC_VALKEY_MAX_MEMORY_MB, 512" in complaint
    assert "Set LSEC_MAX_LOG_MEMORY_MB to 384 or less, or LSEC_VALKEY_MAX_MEMORY_MB to 1024" in complaint
    assert read(LSEC_VALKEY_MAX_MEMORY_MB="512", LSEC_MAX_LOG_MEMORY_MB="385").returncode != 0
    assert read(LSEC_VALKEY_MAX_MEMORY_MB="512", LSEC_MAX_LOG_MEMORY_MB="384").returncode == 0


def test_the_clients_variables_are_no_settings() -> None:
    assert read(LSEC_URL="http://127.0.0.1:1", LSEC_API_KEY="x", LSEC_TEST_STACK="embedded").returncode == 0
