"""Publishes a release and collects what it replaced, as workers do: a process of its own, to be killed."""

import sys

from lsec.core.artifact import open_artifact
from lsec.core.settings import load_settings
from workers.collect import collect
from workers.graph import open_driver
from workers.publish import publish


def main() -> None:
    """Publish the release that is named; one that was active stays, and older ones go."""
    settings = load_settings()
    with open_driver(settings) as driver:
        publish(driver, open_artifact(settings.artifacts_path / sys.argv[1]))
        collect(driver, keep=1)


if __name__ == "__main__":
    main()
