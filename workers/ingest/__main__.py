"""Entry point of the ingester of one shard: `python -m workers.ingest --shard 0`."""

import argparse
import logging
import signal
import sys
from contextlib import suppress

import redis
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from lsec.core.cores import step_back, take_short_turns
from lsec.core.errors import LogMismatch
from lsec.core.logs import configure_logging
from lsec.core.settings import Settings, load_settings
from workers.graph import open_driver
from workers.ingest.faults import Stopped, keep_trying
from workers.ingest.ingester import Ingester
from workers.ingest.lease import Lease
from workers.ledger import open_ledger

logger = logging.getLogger("workers.ingest")

WAIT_FOR_LEASE_S = 1.0
SOCKET_TIMEOUT_S = 10.0
LOG_MISMATCH = 2


def open_log(settings: Settings) -> redis.Redis:
    """A client of the log's server that leaves waiting for it to the ingester."""
    return redis.Redis.from_url(
        settings.log_url.get_secret_value(),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )


def run(settings: Settings, *, shard: int, adopt_log: bool) -> int:
    """Drain the shard until told to stop; the process's exit status."""
    # While the next batch is made ready in a thread, the transaction must not wait long for its turn.
    take_short_turns()
    step_back()
    client = open_log(settings)
    lease = Lease(client, shard=shard)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: lease.stop())
    driver, engine = open_driver(settings), open_ledger(settings)
    ingester = Ingester(settings, shard=shard, driver=driver, client=client, engine=engine, lease=lease)
    try:
        _wait_for_lease(lease, shard)
        keep_trying(lambda: ingester.start(adopt_log=adopt_log), pause=lease.pause)
        logger.info("Shard %d is at %s.", shard, ingester.offset.position)
        while not lease.stopping:
            if keep_trying(lease.hold, pause=lease.pause):
                keep_trying(ingester.step, pause=lease.pause)
            else:
                _wait_for_lease(lease, shard)
                keep_trying(ingester.start, pause=lease.pause)
    except Stopped:
        logger.info("Stopped while a service was away.")
    except LogMismatch as mismatch:
        logger.error("%s", mismatch)  # noqa: TRY400 - its text says it all, a traceback hides it
        return LOG_MISMATCH
    finally:
        driver.close()
        engine.dispose()
        with suppress(redis.exceptions.RedisError):
            lease.release()
    logger.info("Shard %d stopped at %s.", shard, ingester.offset.position)
    return 0


def _wait_for_lease(lease: Lease, shard: int) -> None:
    if keep_trying(lease.hold, pause=lease.pause):
        return
    logger.info("Another ingester drains shard %d; standing by.", shard)
    while not keep_trying(lease.hold, pause=lease.pause):
        if lease.pause(WAIT_FOR_LEASE_S):
            raise Stopped("Told to stop while standing by.")


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, set up logging and run."""
    parser = argparse.ArgumentParser(prog="python -m workers.ingest", description=__doc__)
    parser.add_argument("--shard", type=int, default=0, help="shard to drain, from 0")
    parser.add_argument("--adopt-log", action="store_true", help="go on with the log as it is, gap or not")
    options = parser.parse_args(arguments)
    settings = load_settings()
    configure_logging(settings, process=f"ingester-{options.shard}")
    if not 0 <= options.shard < settings.shards:
        parser.error(f"--shard must be below LSEC_SHARDS, {settings.shards}")
    return run(settings, shard=options.shard, adopt_log=options.adopt_log)


if __name__ == "__main__":
    sys.exit(main())
