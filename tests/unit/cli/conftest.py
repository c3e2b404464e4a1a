"""The small API of the client's tests, for commands that ask an API."""

from tests.unit.client.conftest import api

__all__ = ["api"]
