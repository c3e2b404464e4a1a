"""What the event log knows of dead letters' events, and the way of those events back into it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence

import redis.asyncio

from graph_schema.events import Event
from lsec.core.errors import Conflict, Unavailable
from lsec.core.event_log import LogKeys, parse_committed, position_key, shard_of
from lsec.core.event_replay import MARKER_KEPT_S, REPLAY_SCRIPT, replay_arguments
from lsec.core.ledger import DeadLetter
from lsec.core.logs import REQUEST_ID
from lsec.core.settings import Settings

MAX_WAIT_S = 2.0
"""The ledger's lock is held meanwhile, which in SQLite is everybody's."""


class LetterLog:
    """The event log as dead letters need it. Unavailable where it does not answer soon."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._client = client
        self._window_s = settings.dedup_window_s
        self._shards = settings.shards
        self._replay = client.register_script(REPLAY_SCRIPT)

    async def append(self, letter: DeadLetter, event: Event) -> tuple[int, int]:
        """The shard that has the letter's event now, and its number there, once however often it is asked.

        Conflict if the event was sent again since: in the graph, or in a newer letter, it would count twice.
        """
        shard = shard_of(event, self._shards)
        keys, arguments = replay_arguments(
            event,
            letter_id=letter.id,
            set_aside_from=letter.entry_id,
            shard=shard,
            window_s=self._window_s,
            request_id=REQUEST_ID.get(),
        )
        async with _soon():
            number = int(await self._replay(keys=keys, args=arguments))
        if number < 0:
            raise Conflict(
                f"The event of dead letter {letter.id} was sent again later: it is number {-number} of "
                f"shard {shard}.",
                remedy=f"GET /v1/events/{event.event_id} tells what became of that one. Delete this letter.",
            )
        return shard, number

    async def appended(self, letter_ids: Sequence[str]) -> set[str]:
        """Those of the letters whose events the log has again, whatever the ledger knows."""
        places = [(keys, letter_id) for letter_id in letter_ids for keys in self._keys()]
        async with _soon(), self._client.pipeline(transaction=False) as pipe:
            for keys, letter_id in places:
                pipe.exists(keys.replay_prefix + letter_id)
            found = await pipe.execute()
        return {letter_id for (_, letter_id), exists in zip(places, found, strict=True) if exists}

    async def settle(self, letter_ids: Iterable[str]) -> None:
        """Let the markers of replays go after a while: the ledger knows of them."""
        async with _soon(), self._client.pipeline(transaction=False) as pipe:
            for letter_id in letter_ids:
                for keys in self._keys():
                    pipe.expire(keys.replay_prefix + letter_id, MARKER_KEPT_S)
            await pipe.execute()

    async def waiting(self, letters: Sequence[DeadLetter]) -> set[str]:
        """The ids of the letters whose batches may still be applied as a whole."""
        shards = sorted({letter.shard for letter in letters})
        async with _soon(), self._client.pipeline(transaction=True) as pipe:
            for shard in shards:
                pipe.get(LogKeys(shard).epoch)
                pipe.hgetall(LogKeys(shard).committed)
            replies = await pipe.execute()
        epochs = dict(zip(shards, replies[::2], strict=True))
        positions = {
            shard: position_key(parse_committed(fields).position)
            for shard, fields in zip(shards, replies[1::2], strict=True)
        }
        return {
            letter.id
            for letter in letters
            if (epochs[letter.shard] or b"").decode() == letter.epoch
            and positions[letter.shard] < position_key(letter.entry_id)
        }

    async def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Have the log no longer know the letters' events, so that they may be sent again.

        What was sent again since stays known: it is not the letter's.
        """
        keys = {LogKeys(each.shard).id_prefix + each.event_id: each for each in letters if each.event_id}
        async with _soon(), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pexpiretime(key)
            expiries = await pipe.execute()
            for (key, letter), expires_ms in zip(keys.items(), expiries, strict=True):
                if expires_ms <= position_key(letter.entry_id)[0] + 1000 * self._window_s:
                    pipe.delete(key)
            await pipe.execute()

    def _keys(self) -> list[LogKeys]:
        # A correction may have moved an event to another shard.
        return [LogKeys(shard) for shard in range(self._shards)]


@contextlib.asynccontextmanager
async def _soon() -> AsyncIterator[None]:
    """Unavailable if the block takes too long."""
    try:
        async with asyncio.timeout(MAX_WAIT_S):
            yield
    except TimeoutError:
        raise Unavailable(
            f"The event log did not answer within {MAX_WAIT_S:g} s.",
            remedy="Try again; GET /readyz tells what is down.",
        ) from None
