"""Typed client of the platform's API: `Client` blocks, `AsyncClient` does not; both have the same methods."""

from lsec.client.errors import ApiError, NotCommitted, Unreachable
from lsec.client.sending import SendTotals
from lsec.client.transport import AsyncClient, Client

__all__ = ["ApiError", "AsyncClient", "Client", "NotCommitted", "SendTotals", "Unreachable"]
