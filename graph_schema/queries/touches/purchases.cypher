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
RETURN collect(u.index) AS user,
       collect(p.index) AS product,
       collect(b.streamer_id) AS streamer_id,
       collect(CASE WHEN $in_stream THEN b.stream_id ELSE '' END) AS stream,
       collect(b.at.epochMillis) AS at,
       collect(b.amount) AS amount,
       collect(b.quantity) AS quantity,
       collect(b.refunded_at IS NOT NULL) AS is_refunded
