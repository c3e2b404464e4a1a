"""Whether the settings fit each other and the machine, and there are keys to use the platform with."""

import hashlib
import os
from collections.abc import Iterator

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from lsec.core.inspections import Finding, broken, ok, warning
from lsec.core.ledger import ApiKey, Scope
from lsec.core.settings import Settings

MAX_PROCESSES_PER_CORE = 4
CREATE_KEY = "`lsec keys create --scope admin --name me`"


def judge_settings(settings: Settings, num_cores: int | None = None) -> Finding:
    """Whether no setting defeats another one; those that are out of bounds are not read at all."""
    num_cores = num_cores or os.cpu_count() or 1
    faults = []
    if settings.kept_artifacts < settings.kept_releases:
        faults.append(
            (
                f"LSEC_KEPT_ARTIFACTS ({settings.kept_artifacts}) is less than LSEC_KEPT_RELEASES "
                f"({settings.kept_releases}): slates stay of releases that nobody can roll back to",
                f"Set LSEC_KEPT_ARTIFACTS to {settings.kept_releases} or more.",
            )
        )
    if settings.log_url.get_secret_value() == settings.broker_url.get_secret_value():
        faults.append(
            (
                "LSEC_LOG_URL and LSEC_BROKER_URL name one database: emptying the broker would take the log",
                "Give the broker another database of Valkey, such as …/1.",
            )
        )
    if settings.api_processes > num_cores * MAX_PROCESSES_PER_CORE:
        faults.append(
            (
                f"LSEC_API_PROCESSES is {settings.api_processes} on {num_cores} cores",
                f"Set LSEC_API_PROCESSES to about {num_cores}.",
            )
        )
    if settings.train_threads > num_cores:
        faults.append(
            (
                f"LSEC_TRAIN_THREADS is {settings.train_threads} on {num_cores} cores",
                "Set LSEC_TRAIN_THREADS to 0, which takes all cores.",
            )
        )
    if faults:
        detail = "; ".join(fault for fault, _ in faults)
        return warning("settings", f"{detail}.", remedy=" ".join(remedy for _, remedy in faults))
    return ok("settings", "They fit each other.")


def keys(engine: Engine, secret: str) -> Iterator[Finding]:
    """Whether somebody holds an admin's key, and what the given secret is worth, if it is not ''."""
    held = select(func.count()).where(ApiKey.scope == Scope.ADMIN, ApiKey.revoked_at.is_(None))
    with Session(engine, expire_on_commit=False) as session:
        num_admins = session.scalar(held) or 0
        hashed = hashlib.sha256(secret.encode()).hexdigest()
        key = session.scalar(select(ApiKey).where(ApiKey.secret_sha256 == hashed))
    if num_admins:
        yield ok("keys", f"{num_admins} admin keys are valid.")
    else:
        yield warning("keys", "There is no admin key that is not revoked.", remedy=CREATE_KEY)
    if secret:
        yield judge_key(key)


def judge_key(key: ApiKey | None) -> Finding:
    """What a key that was given is worth; None for one that the ledger does not know."""
    if key is None:
        detail = "The key that was given (LSEC_API_KEY, --key) is none of this ledger's."
        return broken("key", detail, remedy=f"See that LSEC_DATA_DIR is the right one, or: {CREATE_KEY}")
    if key.revoked_at is not None:
        detail = f"The key that was given, {key.id}, was revoked at {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC."
        return broken("key", detail, remedy=CREATE_KEY)
    return ok("key", f"The key that was given, {key.id}, has the scope {key.scope}.")
