// When users of a range first commented, liked, gave or shared with each streamer in each stream on each UTC day,
// within a window: one record of lists. Of all users in the range, or of those listed.
// mode: read
// params: start, stop, users, since, until, in_stream
// columns: user, streamer, product, stream, at
MATCH (u:User)-[r:ENGAGED]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND ($users IS NULL OR u.index IN $users)
  AND r.first_at >= $since AND r.first_at < $until
  AND (NOT $in_stream OR r.stream_id <> '')
WITH u.index AS user, s.index AS streamer, CASE WHEN $in_stream THEN r.stream_id ELSE '' END AS stream,
     r.first_at.epochMillis AS at
WHERE user IS NOT NULL AND streamer IS NOT NULL AND stream IS NOT NULL AND at IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer, collect(-1) AS product, collect(stream) AS stream,
       collect(at) AS at
