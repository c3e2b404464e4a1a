"""Neo4j Community in this process: the Java machine through JPype, one Bolt connector on loopback.

Run as `python -m lsec.local.neo4j_server --home DIR --jars DIR --bolt-port N` with the password in
`LSEC_NEO4J_PASSWORD`; it ends on SIGTERM or SIGINT.
"""

import argparse
import logging
import os
import signal
from pathlib import Path

from lsec.core.cores import step_back
from lsec.local.java import jar_files, jvm_library, jvm_options

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
PASSWORD_VARIABLE = "LSEC_NEO4J_PASSWORD"  # noqa: S105 - the name of a variable

log = logging.getLogger(__name__)


def serve(arguments: argparse.Namespace, password: str) -> None:
    """Run Neo4j until a stop signal arrives, then shut it down in order."""
    # Blocked before any thread starts, so that each inherits it and the signals wait for sigwait
    # below, also those that come while Neo4j still starts. JPype is loaded after it for that reason:
    # it brings in NumPy, and NumPy starts threads.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    import jpype

    from lsec.local.neo4j_database import LOOPBACK, database_settings, start_database

    options = jvm_options(arguments.heap_mb)
    jars = jar_files(arguments.jars)
    jpype.startJVM(*options, jvmpath=str(jvm_library()), classpath=jars, interrupt=False)
    settings = database_settings(
        arguments.bolt_port, page_cache_mb=arguments.page_cache_mb, heap_mb=arguments.heap_mb
    )
    service = start_database(arguments.home, settings, password)
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
    arguments = parser.parse_args()
    if not (password := os.environ.get(PASSWORD_VARIABLE)):
        parser.error(f"set {PASSWORD_VARIABLE}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    step_back()
    serve(arguments, password)


if __name__ == "__main__":
    main()
