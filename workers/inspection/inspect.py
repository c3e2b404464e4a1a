"""All invariants in one look, on a schedule and for `lsec doctor`, and the record of the last one."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine, delete
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lsec.core.inspections import Finding, FindingState, broken
from lsec.core.ledger import utc_now
from lsec.core.release_ledger import Inspection
from lsec.core.settings import Settings
from workers.inspection import active, agreement, configuration, ingestion, machine, schema, services, work
from workers.inspection.sources import FAULTS, Sources, first_line, open_sources
from workers.ledger import open_ledger

SECOND_LOOK_S = 1.0
FORGOTTEN_AFTER = timedelta(days=1)
"""What was not looked at for so long is not there any more."""
UNSEEN = "See to what is broken beside it, then look again: `lsec doctor`."

log = logging.getLogger(__name__)


def inspect(
    settings: Settings, *, second_look_s: float = SECOND_LOOK_S, is_deep: bool = False, secret: str = ""
) -> list[Finding]:
    """What a look at the installation finds, broken or not.

    Nothing of what must hold between ledger, graph, log and disk stands still, so where some of it does not
    hold, all of it is looked at again after `second_look_s` seconds. `is_deep` reads every file of the shown
    releases anew, whatever is remembered of them; `secret` is that of a key to look up.
    """
    with open_sources(settings) as sources:
        services_found, sources, queues = _look_at_services(sources)
        findings = list(_look_at_invariants(sources, queues, is_deep=is_deep))
        if any(finding.state != FindingState.OK for finding in findings):
            time.sleep(second_look_s)
            findings = list(_look_at_invariants(sources, queues, is_deep=is_deep))
        if (engine := sources.engine) is not None:
            findings += _guarded("keys", lambda: configuration.keys(engine, secret))
    return [*services_found, *findings]


def _look_at_services(sources: Sources) -> tuple[list[Finding], Sources, frozenset[str] | None]:
    """What is found of machine and services, the sources that can be used, and the queues with a worker."""
    settings, engine, driver = sources.settings, sources.engine, sources.driver
    found = [*sources.findings, configuration.judge_settings(settings)]
    found += _guarded("machine", lambda: machine.machine(settings))
    if engine is not None:
        found.append(_ledger_schema(engine))
        if found[-1].state != FindingState.OK:
            # Its tables may lack what the others ask for.
            sources = replace(sources, engine=None)
    if driver is not None:
        found += _guarded(schema.GRAPH, lambda: [schema.graph_schema(driver)])
    at_work, queues = services.at_work(settings)
    found += at_work
    found += _guarded("clocks", lambda: services.clocks(driver, sources.client))
    return found, sources, queues


def _look_at_invariants(
    sources: Sources, queues: frozenset[str] | None, *, is_deep: bool
) -> Iterator[Finding]:
    settings, engine, driver, client = sources.settings, sources.engine, sources.driver, sources.client
    if client is not None:
        yield from _guarded("ingest", lambda: ingestion.ingestion(settings, driver, client))
    if driver is not None:
        yield from _guarded(
            "release", lambda: active.shown_releases(settings, engine, driver, is_deep=is_deep)
        )
        yield from _guarded("graph.releases", lambda: agreement.graph_releases(engine, driver))
    if engine is not None:
        yield from _of_ledger(settings, engine, queues)


def _ledger_schema(engine: Engine) -> Finding:
    return next(_guarded(schema.LEDGER, lambda: [schema.ledger_schema(engine)]))


def _of_ledger(settings: Settings, engine: Engine, queues: frozenset[str] | None) -> Iterator[Finding]:
    yield from _guarded("releases.artifacts", lambda: agreement.artifacts(settings, engine))
    yield from _guarded("snapshots", lambda: agreement.snapshots(settings, engine))
    yield from _guarded("runs.folders", lambda: agreement.runs(settings, engine))
    yield from _guarded("trainings", lambda: work.trainings(engine, queues))
    for name, look in (
        ("releases.promotions", work.promotions),
        ("snapshots.exports", work.exports),
        ("dead-letters", work.dead_letters),
        ("erasures", work.erasures),
    ):
        yield from _guarded(name, lambda look=look: [look(engine)])  # type: ignore[misc]  # mypy cannot infer it


def _guarded(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a look finds; where it cannot come to its end, that."""
    try:
        yield from look()
    except FAULTS as error:
        yield broken(name, f"It could not be looked at: {first_line(error)}", remedy=UNSEEN)


def inspect_and_record(settings: Settings) -> list[Finding]:
    """Look, put what was found on record, and log what became broken since the last look."""
    findings = inspect(settings)
    engine = open_ledger(settings)
    try:
        record(engine, findings)
    except SQLAlchemyError as error:
        log.error("the inspection cannot be put on record: %s", first_line(error))  # noqa: TRY400 - it is no fault of this code
    finally:
        engine.dispose()
    return findings


def record(engine: Engine, findings: Sequence[Finding]) -> None:
    """Put these findings into the ledger, and log each whose state is another than before."""
    now = utc_now()
    changed = []
    with Session(engine) as session, session.begin():
        for finding in findings:
            row = session.get(Inspection, finding.name)
            if row is None:
                row = Inspection(name=finding.name, state=FindingState.OK, since=now)
                session.add(row)
            if row.state != finding.state:
                row.state, row.since = finding.state, now
                changed.append(finding)
            row.detail, row.remedy, row.checked_at = finding.detail, finding.remedy, now
        session.execute(delete(Inspection).where(Inspection.checked_at < now - FORGOTTEN_AFTER))
    for finding in changed:
        level = {FindingState.BROKEN: logging.ERROR, FindingState.WARNING: logging.WARNING}
        log.log(
            level.get(finding.state, logging.INFO),
            "%s is %s: %s %s",
            *(finding.name, finding.state.value, finding.detail, finding.remedy),
        )
