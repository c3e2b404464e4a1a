"""docker-compose.yml names only settings that exist, and every service can tell whether it is well."""

from pathlib import Path
from typing import Any

import yaml

from lsec.core.settings import Settings

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_the_whole_system_is_there() -> None:
    assert set(SERVICES) == {
        "neo4j", "postgres", "valkey", "migrate", "api", "ingester", "worker", "worker-gpu", "upkeep", "beat",
    }  # fmt: skip


def test_each_setting_exists() -> None:
    known = {f"LSEC_{name.upper()}" for name in Settings.model_fields}
    for service in SERVICES.values():
        given = {name for name in service.get("environment", {}) if name.startswith("LSEC_")}
        assert given <= known


def test_the_settings_are_valid() -> None:
    given = {
        name.removeprefix("LSEC_").lower(): str(value).split(":-")[-1].rstrip("}")
        for name, value in SERVICES["api"]["environment"].items()
    }
    assert Settings.model_validate(given).api_host == "0.0.0.0"


def test_each_long_running_service_has_a_healthcheck() -> None:
    for name, service in SERVICES.items():
        if name != "migrate":
            assert "healthcheck" in service, name


def test_data_survives_in_volumes() -> None:
    for name in ("neo4j", "postgres", "valkey", "worker"):
        assert SERVICES[name]["volumes"][0].split(":")[0] in COMPOSE["volumes"]


def test_only_the_api_is_reachable_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]


def test_the_gpu_worker_asks_for_a_gpu() -> None:
    [device] = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
