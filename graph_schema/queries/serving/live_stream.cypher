// A stream with who watched it since a time, and what it showcased since another; no row for an unknown one.
// Of the streamer's watchings the newest 20,000 are looked at, which the store keeps first, and 2,000 users are
// taken: enough for a mean. `ended_ms` is −1 for a stream that goes on, `streamer_id` empty where none is known.
// mode: read
// params: stream_id, present_since_ms, shown_since_ms
// columns: streamer_id, ended_ms, user_ids, shown_ids
MATCH (stream:Stream {id: $stream_id})
WITH stream, head(COLLECT { MATCH (s:Streamer)-[:HOSTED]->(stream) RETURN s LIMIT 1 }) AS streamer
WITH stream, streamer,
  COLLECT {
    MATCH (streamer)<-[w:WATCHED]-(user:User)
    WITH w, user
    LIMIT 20000
    WITH w, user
    WHERE w.stream_id = $stream_id AND w.last_at.epochMillis >= $present_since_ms
    RETURN DISTINCT user.id
    LIMIT 2000
  } AS user_ids,
  COLLECT {
    MATCH (stream)-[s:SHOWCASED]->(p:Product)
    WHERE s.last_at.epochMillis >= $shown_since_ms
    RETURN p.id
    LIMIT 10000
  } AS shown_ids
RETURN coalesce(streamer.id, '') AS streamer_id, coalesce(stream.ended_at.epochMillis, -1) AS ended_ms, user_ids,
  shown_ids
