"""What runs leave behind: their folders go some days after their end."""

import logging
import shutil
from datetime import timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from lsec.core.ledger import Training, utc_now
from lsec.core.settings import Settings

log = logging.getLogger(__name__)


def delete_old_runs(settings: Settings, engine: Engine) -> list[str]:
    """Delete the folders of runs that ended before the retention; the ids of those deleted.

    Job, log and checkpoint are in them; snapshots and artifacts of releases have folders of their own. A
    folder of no run that is known is left alone, and so is one that cannot be deleted.
    """
    if not settings.run_retention_days or not settings.runs_path.exists():
        return []
    names = [folder.name for folder in settings.runs_path.iterdir() if folder.is_dir()]
    before = utc_now() - timedelta(days=settings.run_retention_days)
    with Session(engine) as session:
        old = list(
            session.scalars(select(Training.id).where(Training.id.in_(names), Training.finished_at < before))
        )
    deleted = []
    for training_id in old:
        try:
            shutil.rmtree(settings.runs_path / training_id)
        except OSError as error:
            log.warning("the folder of training %s stays: %s", training_id, error)
        else:
            deleted.append(training_id)
    return deleted
