"""Neo4j Community in this process: the Java machine through JPype, one Bolt connector on loopback.

Run as `python -m lsec.local.neo4j_server --home DIR --jars DIR --bolt-port N`; it ends on SIGTERM or SIGINT.
Authentication is off, so the address is fixed to loopback.
"""

import argparse
import logging
import os
import signal
from pathlib import Path
from typing import Any

import jpype

from lsec.local.java import jar_files, jvm_library, jvm_options

LOOPBACK = "127.0.0.1"
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

log = logging.getLogger(__name__)


def database_settings(bolt_port: int, page_cache_mb: int) -> dict[str, str]:
    """Neo4j's own settings.

    Without the `internal.` one Bolt waits twice five seconds at shutdown, after the databases are
    already closed. Kept transaction logs are bounded: by default they grow to 2 GB.
    """
    address = f"{LOOPBACK}:{bolt_port}"
    return {
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": address,
        "server.bolt.advertised_address": address,
        "server.memory.pagecache.size": f"{page_cache_mb}m",
        "dbms.security.auth_enabled": "false",
        "dbms.usage_report.enabled": "false",
        "db.tx_log.rotation.size": "32m",
        "db.tx_log.rotation.retention_policy": "128m size",
        "db.temporal.timezone": "UTC",
        "internal.server.bolt.thread_pool_shutdown_wait_time": "200ms",
    }


def start_database(home: Path, settings: dict[str, str]) -> Any:
    """The running DatabaseManagementService; the Java machine must be up."""
    home.mkdir(parents=True, exist_ok=True)
    conf = home / "neo4j.conf"
    conf.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    builder = jpype.JClass("org.neo4j.dbms.api.DatabaseManagementServiceBuilder")
    path = jpype.JClass("java.nio.file.Path").of
    return builder(path(str(home))).loadPropertiesFromFile(path(str(conf))).build()


def serve(arguments: argparse.Namespace) -> None:
    """Run Neo4j until a stop signal arrives, then shut it down in order."""
    # Blocked before the Java machine starts, so that each of its threads inherits it and the
    # signals wait for sigwait below, also those that come while Neo4j still starts.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    options = jvm_options(arguments.heap_mb)
    jars = jar_files(arguments.jars)
    jpype.startJVM(*options, jvmpath=str(jvm_library()), classpath=jars, interrupt=False)
    service = start_database(arguments.home, database_settings(arguments.bolt_port, arguments.page_cache_mb))
    log.info("Neo4j answers on bolt://%s:%d", LOOPBACK, arguments.bolt_port)
    signal.sigwait(STOP_SIGNALS)
    service.shutdown()
    log.info("Neo4j has stopped")
    # The stores are closed; taking the Java machine apart as well would only cost another second.
    os._exit(0)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the databases")
    parser.add_argument("--jars", type=Path, required=True, help="folder of Neo4j's jars")
    parser.add_argument("--bolt-port", type=int, required=True)
    parser.add_argument("--heap-mb", type=int, default=1024)
    parser.add_argument("--page-cache-mb", type=int, default=512)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
