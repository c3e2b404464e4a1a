// With whom users of a range bought within a window, refunds left out, each once: one record of two lists.
// `streamers` gives the index of each streamer's id.
// mode: read
// params: start, stop, since, until, category, streamers
// columns: user, streamer
MATCH (u:User)-[b:BOUGHT]->(p:Product)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop
  AND b.at >= $since AND b.at < $until AND b.refunded_at IS NULL AND b.streamer_id <> ''
  AND ($category = '' OR EXISTS { (p)-[:IN]->(:Category {id: $category}) })
WITH DISTINCT u.index AS user, $streamers[b.streamer_id] AS streamer
WHERE user IS NOT NULL AND streamer IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer
