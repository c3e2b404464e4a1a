// When users of a range first looked at each product with each streamer in each stream on each UTC day, within
// a window: one record of lists. Of all users in the range, or of those listed; in the shop too, or not.
// mode: read
// params: start, stop, users, since, until, in_stream, in_shop
// columns: user, streamer_id, product, stream, at
MATCH (u:User)-[r:VIEWED]->(p:Product)
WHERE u.index >= $start AND u.index < $stop AND ($users IS NULL OR u.index IN $users)
  AND ($in_shop OR r.streamer_id <> '') AND r.first_at >= $since AND r.first_at < $until
  AND (NOT $in_stream OR r.stream_id <> '')
WITH u.index AS user, r.streamer_id AS streamer_id, p.index AS product,
     CASE WHEN $in_stream THEN r.stream_id ELSE '' END AS stream, r.first_at.epochMillis AS at
WHERE user IS NOT NULL AND streamer_id IS NOT NULL AND product IS NOT NULL AND stream IS NOT NULL AND at IS NOT NULL
RETURN collect(user) AS user, collect(streamer_id) AS streamer_id, collect(product) AS product,
       collect(stream) AS stream, collect(at) AS at
