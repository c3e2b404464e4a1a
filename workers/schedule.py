"""The policy's fixed times in beat's schedule, which is in Valkey: the ledger says what belongs there."""

import logging

from celery import Celery
from celery.schedules import crontab
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf

from lsec.core.jobs import RETRAIN_JOB, UPKEEP_QUEUE
from lsec.core.release_ledger import RetrainingPolicy

ENTRY = RETRAIN_JOB
EXPIRES_S = 3600
"""A job that no worker has taken for so long is left to the next of the fixed times."""

log = logging.getLogger(__name__)


def reconcile(app: Celery, policy: RetrainingPolicy) -> bool:
    """Make, change or delete the entry so that it is what the policy says; whether anything was to do.

    An entry that is made anew counts from when it was last acted on, or else from the policy's change: a time
    that went by while Valkey had lost it is made up for, once.
    """
    ensure_conf(app)
    key = RedBeatSchedulerEntry.generate_key(app, ENTRY)
    try:
        present = RedBeatSchedulerEntry.from_key(key, app=app)
    except KeyError:
        present = None
    if not (policy.is_enabled and policy.cron):
        if present is not None:
            present.delete()
            log.info("the schedule no longer holds fixed times of retraining")
        return present is not None
    wanted = crontab.from_string(policy.cron)
    if present is not None and present.schedule == wanted and present.rank is not None:
        return False
    if present is not None:
        present.delete()
    since = max(filter(None, (policy.fired_at, policy.updated_at)))
    RedBeatSchedulerEntry(
        ENTRY,
        RETRAIN_JOB,
        schedule=crontab.from_string(policy.cron),
        last_run_at=since,
        options={"queue": UPKEEP_QUEUE, "expires": EXPIRES_S},
        app=app,
    ).save()
    log.info("the schedule holds retraining at %r", policy.cron)
    return True
