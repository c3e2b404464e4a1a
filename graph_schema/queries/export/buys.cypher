// Purchases of a range of users within the scope, up to the snapshot's position, refunds left out:
// one record of three integer lists, since a row per edge is ten times slower.
// mode: read
// params: start, stop, since_ms, until_ms, categories, streamers, seqs
// columns: users, products, at_ms
MATCH (u:User)-[b:BOUGHT]->(p:Product)
WHERE u.index >= $start AND u.index < $stop
  AND b.refunded_at IS NULL
  AND b.seq <= $seqs[b.shard]
  AND ($since_ms IS NULL OR b.at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR b.at.epochMillis < $until_ms)
  AND ($categories IS NULL OR EXISTS { MATCH (p)-[:IN]->(c:Category) WHERE c.id IN $categories })
  AND ($streamers IS NULL OR b.streamer_id IN $streamers
       OR EXISTS { MATCH (s:Streamer)-[:SELLS]->(p) WHERE s.id IN $streamers })
RETURN collect(u.index) AS users, collect(p.index) AS products, collect(b.at.epochMillis) AS at_ms
