// Purchases of a range of users, or of those of them listed, within a window, refunded ones too: one record of
// integer lists, and the ids of their streamers and streams, of these as '' where no stream is asked for.
// mode: read
// params: start, stop, users, since, until, category, in_stream
// columns: user, product, streamer_id, stream, at, amount, quantity, is_refunded
MATCH (u:User)-[b:BOUGHT]->(p:Product)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop
  AND ($users IS NULL OR u.index IN $users)
  AND b.at >= $since AND b.at < $until
  AND ($category = '' OR EXISTS { (p)-[:IN]->(:Category {id: $category}) })
WITH u.index AS user, p.index AS product, b.streamer_id AS streamer_id,
     CASE WHEN $in_stream THEN b.stream_id ELSE '' END AS stream,
     b.at.epochMillis AS at, b.amount AS amount, b.quantity AS quantity, b.refunded_at IS NOT NULL AS is_refunded
WHERE user IS NOT NULL AND product IS NOT NULL AND streamer_id IS NOT NULL AND stream IS NOT NULL
  AND at IS NOT NULL AND amount IS NOT NULL AND quantity IS NOT NULL
RETURN collect(user) AS user, collect(product) AS product, collect(streamer_id) AS streamer_id,
       collect(stream) AS stream, collect(at) AS at, collect(amount) AS amount, collect(quantity) AS quantity,
       collect(is_refunded) AS is_refunded
