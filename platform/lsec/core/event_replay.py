"""Appending a dead letter's event to the log again, once however often it is asked for.

An event whose letter is older than the window in which retries are recognised may have been sent again:
then it is in the graph, or in a newer letter, and the old letter's would be counted a second time. That
shows by the id's key: it was set later than the letter's own append. Such a letter is refused, not noted as
replayed: should the window have been shortened since, its own key looks the same until it expires. Once
the key of what was sent again has expired too, nothing tells it any more.
"""

import msgspec

from graph_schema.events import Event
from lsec.core.event_log import LogKeys, entry_id_ms, new_epoch

MARKER_KEPT_S = 86_400
"""A marker is kept so long after the ledger knows of the replay: past any request still under way."""

REPLAY_SCRIPT = """#!lua
-- Appends one event whether its id is known or not, once for its dead letter; the event's number.
-- Negative, and nothing is done, if the event was appended again after the letter's own append.
-- KEYS: log, epoch, appended, the event's id key, the letter's marker.
-- ARGV: window in s, epoch if new, request id, event, when the letter's own append was in ms.
local done = redis.call('GET', KEYS[5])
if done then
  return tonumber(done)
end
if redis.call('PEXPIRETIME', KEYS[4]) > tonumber(ARGV[5]) + 1000 * tonumber(ARGV[1]) then
  return -tonumber(redis.call('GET', KEYS[4]))
end
redis.call('SET', KEYS[2], ARGV[2], 'NX')
local number = tonumber(redis.call('GET', KEYS[3]) or '0') + 1
redis.call('XADD', KEYS[1], '*', 'n', 1, 't', number, 'r', ARGV[3], 'c', ARGV[4])
redis.call('INCR', KEYS[3])
redis.call('SET', KEYS[4], number, 'EX', ARGV[1])
redis.call('SET', KEYS[5], number)
return number
"""

_encoder = msgspec.msgpack.Encoder()


def replay_arguments(
    event: Event, *, letter_id: str, set_aside_from: str, shard: int, window_s: int, request_id: str = ""
) -> tuple[list[str], list[bytes | int | str]]:
    """Keys and arguments of `REPLAY_SCRIPT` for a letter's event, set aside from an entry of the log.

    The last key is the marker's.
    """
    names = LogKeys(shard)
    id_key = names.id_prefix + event.event_id
    keys = [names.log, names.epoch, names.appended, id_key, names.replay_prefix + letter_id]
    appended_ms = entry_id_ms(set_aside_from)
    return keys, [window_s, new_epoch(), request_id, _encoder.encode(event), appended_ms]
