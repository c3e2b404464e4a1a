"""A seeded market of live commerce that speaks in the platform's events."""

from lsec.simulate.market import Market
from lsec.simulate.run import live, simulate

__all__ = ["Market", "live", "simulate"]
