"""A seeded market of live commerce that speaks in the platform's events, and knows who influenced whom."""

from lsec.simulate.market import Market
from lsec.simulate.rows import Rows, observe
from lsec.simulate.run import live, simulate
from lsec.simulate.truth import Truth, true_influence

__all__ = ["Market", "Rows", "Truth", "live", "observe", "simulate", "true_influence"]
