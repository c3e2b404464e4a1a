// When users first looked at each product with each of a range of streamers in each stream on each UTC day, within a
// window: one record of lists. All that was looked at in the shop alone is not even read.
// mode: read
// params: start, stop, since, until, in_stream
// columns: user, streamer, product, stream, at
MATCH (s:Streamer)
USING INDEX s:Streamer(index)
WHERE s.index >= $start AND s.index < $stop
MATCH (u:User)-[r:VIEWED]->(p)
USING INDEX r:VIEWED(streamer_id, day)
WHERE r.streamer_id = s.id AND r.day >= date($since) AND r.day <= date($until)
  AND r.first_at >= $since AND r.first_at < $until
  AND (NOT $in_stream OR r.stream_id <> '')
WITH u.index AS user, s.index AS streamer, p.index AS product,
     CASE WHEN $in_stream THEN r.stream_id ELSE '' END AS stream, r.first_at.epochMillis AS at
WHERE user IS NOT NULL AND streamer IS NOT NULL AND product IS NOT NULL AND stream IS NOT NULL AND at IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer, collect(product) AS product,
       collect(stream) AS stream, collect(at) AS at
