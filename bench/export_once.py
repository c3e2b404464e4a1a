"""One export in a process of its own, for its memory: `python -m bench.export_once URL PASSWORD FOLDER`."""

import sys
from pathlib import Path

import neo4j

from bench.fresh_process import give, peak_mb
from workers.snapshot import Scope, export_snapshot


def main() -> None:
    """Export, and give the figures to whoever waits for them."""
    url, password, folder = sys.argv[1:]
    with neo4j.GraphDatabase.driver(url, auth=("neo4j", password)) as driver:
        export_snapshot(driver, Path(folder), Scope())
    give({"peak_mb": peak_mb()})


if __name__ == "__main__":
    main()
