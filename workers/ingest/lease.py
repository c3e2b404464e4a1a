"""Who may drain a shard: a key in the log's server that its holder renews."""

import os
import socket
import threading
import time
from contextlib import suppress

import psutil
import redis
import redis.exceptions

from lsec.core.event_log import LogKeys

EXPIRY_S = 10
RENEW_EVERY_S = 2.0


class Lease:
    """The shard's lease and the ingester's heartbeat; also its way to wait and to stop.

    It only saves a second ingester useless work: that each event counts once is left to the
    position in the graph.
    """

    def __init__(self, client: redis.Redis, *, shard: int) -> None:
        self._client = client
        self._key = LogKeys(shard).ingester
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
        self._stop = threading.Event()
        self._renewed_at = -RENEW_EVERY_S

    @property
    def stopping(self) -> bool:
        """Whether the ingester was told to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Tell the ingester to end after its batch; safe in a signal handler."""
        self._stop.set()

    def pause(self, seconds: float) -> bool:
        """Wait, renew the lease if it can be, and tell whether to stop."""
        # The caller waits for a service, perhaps for this one.
        with suppress(redis.exceptions.RedisError):
            self.hold()
        return self._stop.wait(seconds)

    def hold(self) -> bool:
        """Take or renew the lease; whether this ingester has it."""
        if time.monotonic() - self._renewed_at < RENEW_EVERY_S:
            return True
        held = self._hold()
        if held:
            self._renewed_at = time.monotonic()
        return held

    def _hold(self) -> bool:
        held_by = self._client.get(self._key)
        if held_by is not None and _text(held_by) == self._holder:
            # Unlike SET it is also allowed when the server is out of memory.
            return bool(self._client.expire(self._key, EXPIRY_S))
        if held_by is not None and not _is_gone(_text(held_by)):
            return False
        try:
            return bool(self._client.set(self._key, self._holder, nx=held_by is None, ex=EXPIRY_S))
        except redis.exceptions.OutOfMemoryError:
            # Nobody drains the shard, and only draining and trimming it makes room.
            return True

    def release(self) -> None:
        """Give the lease back, so that the next ingester need not wait for it to expire."""
        if _text(self._client.get(self._key) or b"") == self._holder:
            self._client.delete(self._key)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _is_gone(holder: str) -> bool:
    """Whether the holder ran on this host and was killed."""
    host, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    return host == socket.gethostname() and pid.isdigit() and not psutil.pid_exists(int(pid))
