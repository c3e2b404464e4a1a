"""The upkeep's jobs: each opens what it needs, works for a while, and is called again by the schedule."""

import logging

import redis
import redis.exceptions

from lsec.core.settings import Settings
from workers.graph import open_driver
from workers.ledger import open_ledger
from workers.trainings import OUTAGES
from workers.upkeep.erasure import Upkeep, forget_in_files, open_erasures
from workers.upkeep.retention import horizon_of, prune
from workers.upkeep.runs import delete_old_runs

PRUNE_FOR_S = 60.0
"""A short while at a time: erasures wait behind it."""

log = logging.getLogger(__name__)


def continue_erasures(settings: Settings) -> None:
    """Bring the open erasures on; nothing else is touched when there are none."""
    engine = open_ledger(settings)
    try:
        if not open_erasures(engine):
            # The last one was called done before the journal could be emptied, which may have been in use.
            forget_in_files(engine)
            return
        with (
            open_driver(settings) as driver,
            redis.Redis.from_url(settings.log_url.get_secret_value()) as client,
        ):
            Upkeep(settings, engine, driver, client).step()
    except (*OUTAGES, redis.exceptions.RedisError) as error:
        log.warning("erasures wait for a service: %s", error)
    finally:
        engine.dispose()


def delete_runs(settings: Settings) -> None:
    """Delete the folders of runs that are past their retention."""
    engine = open_ledger(settings)
    try:
        deleted = delete_old_runs(settings, engine)
    except OUTAGES as error:
        log.warning("old runs wait for a service: %s", error)
    else:
        if deleted:
            log.info("deleted the folders of %d old runs", len(deleted))
    finally:
        engine.dispose()


def prune_for_a_while(settings: Settings) -> None:
    """Delete some of what is past the retention, if there is one."""
    if not settings.retention_days:
        return
    try:
        with open_driver(settings) as driver:
            deleted = prune(driver, horizon=horizon_of(settings.retention_days), budget_s=PRUNE_FOR_S)
    except OUTAGES as error:
        log.warning("pruning waits for a service: %s", error)
        return
    if any(deleted.values()):
        log.info("pruned: %s", ", ".join(f"{number} {step}" for step, number in deleted.items() if number))
