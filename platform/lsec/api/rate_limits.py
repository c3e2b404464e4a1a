"""How many requests a key may make: counted on the log's server, for reads by a share in each process.

A window is fixed: it begins with a key's first request and ends by itself, so the moment to come back is
exact, and to count is one increment. A sliding window would be smoother, at six commands; the limits are
there to hold back a producer that runs away, not to shape one that does not.

The server syncs each increment to disk before it answers. So a process counts a hundredth of a large
limit at once, ahead of the requests: nearly all of them pass without asking, and processes that share a
limit are exact to a hundredth each. Limits below 200 are exact.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import redis.asyncio
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from lsec.api.stores.keys import Caller
from lsec.core.errors import RateLimited
from lsec.core.ledger import Scope
from lsec.core.settings import Settings

MAX_CONNECTIONS = 32
TIMEOUT_S = 0.25
PAUSE_S = 1.0
"""After a failure the log's server is not asked for so long, so that few requests wait for it."""
ROUNDED_S = 0.5
"""What the server's answer, in whole seconds, may be past the end of a window."""
ASK_AGAIN_S = 0.1
"""How often it is asked in that time."""
KEY_PREFIX = "lsec:rate"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ahead:
    """Requests of a key that are counted already but not yet made, and until when they may be.

    Or until when, at least, its requests are used up.
    """

    num_left: int = 0
    until: float = 0.0
    refused_until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Limit:
    """The rate of one scope's keys, what counts them, and until when they pass uncounted."""

    rate: RateLimitItem
    counter: FixedWindowRateLimiter
    uncounted_until: float = 0.0
    ahead: defaultdict[str, _Ahead] = field(default_factory=lambda: defaultdict(_Ahead))

    def passes(self, ahead: _Ahead) -> bool:
        """Whether a request needs no counting; it is taken off what is counted."""
        now = time.monotonic()
        if now < self.uncounted_until:
            return True
        if ahead.num_left == 0 or now >= ahead.until:
            return False
        ahead.num_left -= 1
        return True

    def check_refused(self, ahead: _Ahead, caller: Caller) -> None:
        """RateLimited if the key is known to have used its requests up: a flood of them must cost nothing."""
        seconds_left = ahead.refused_until - time.monotonic()
        if seconds_left <= 0:
            return
        rate = self.rate
        raise RateLimited(
            f"A key of scope {caller.scope} may make {rate.amount} requests per {rate.GRANULARITY.name}.",
            retry_after_s=min(int(seconds_left + ROUNDED_S) + 1, rate.get_expiry()),
            limit=f"{rate.amount}/{rate.GRANULARITY.name}",
        )


class RateLimits:
    """Counts the requests of each key against the limit of its scope."""

    def __init__(self, limits: dict[Scope, _Limit]) -> None:
        self._limits = limits

    async def check(self, caller: Caller) -> None:
        """RateLimited if the key has used its requests up.

        Passes where the log's server does not answer: reads must not fail with it, and an append says
        so by itself.
        """
        limit = self._limits.get(caller.scope)
        if limit is None or limit.passes(ahead := limit.ahead[caller.key_id]):
            return
        limit.check_refused(ahead, caller)
        async with ahead.turn:
            # Whoever had the turn may have counted this one too, or heard that it is refused.
            if limit.passes(ahead):
                return
            limit.check_refused(ahead, caller)
            try:
                await _count(limit, ahead, caller)
                limit.check_refused(ahead, caller)
            except (RedisError, OSError) as error:
                limit.uncounted_until = time.monotonic() + PAUSE_S
                log.warning("requests of %s keys pass uncounted for a moment: %s", caller.scope, error)


async def _count(limit: _Limit, ahead: _Ahead, caller: Caller) -> None:
    """Count some requests of the key ahead, this one with them, or learn until when it has none left."""
    rate, counter = limit.rate, limit.counter
    num_taken = max(1, rate.amount // 100)
    if await counter.hit(rate, caller.key_id, cost=num_taken):
        ahead.num_left, ahead.until = num_taken - 1, time.monotonic() + rate.get_expiry()
        return
    resets_at = await counter.storage.get_expiry(rate.key_for(caller.key_id))
    seconds_left = resets_at - time.time() - ROUNDED_S
    ahead.refused_until = time.monotonic() + max(seconds_left, ASK_AGAIN_S)


def _share(rate: str, num_processes: int) -> str:
    """One process's share of a rate such as 100/second, rounded up; '' of ''."""
    amount, _, period = rate.partition("/")
    return f"{-(-int(amount) // num_processes)}/{period}" if rate else ""


@contextlib.asynccontextmanager
async def open_rate_limits(settings: Settings) -> AsyncIterator[RateLimits]:
    """The limits of the settings; it opens while the log's server is down.

    Of a limit on reads, this process allows one of `api_processes` equal shares.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.log_url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    shared = FixedWindowRateLimiter(
        RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            connection_pool=pool,  # type: ignore[arg-type]  # documented, but not in the type of options
        )
    )
    own = FixedWindowRateLimiter(MemoryStorage())
    rates = {
        Scope.INGEST: (settings.rate_limit_ingest, shared),
        Scope.READ: (_share(settings.rate_limit_read, settings.api_processes), own),
        Scope.ANALYST: (settings.rate_limit_analyst, shared),
        Scope.ADMIN: (settings.rate_limit_admin, shared),
    }
    try:
        yield RateLimits({scope: _Limit(parse(rate), by) for scope, (rate, by) in rates.items() if rate})
    finally:
        await pool.aclose()
