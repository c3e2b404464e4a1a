// Purchases that a snapshot did not see, by product, refunds left out: the newest `limit` of those since a time.
// One record of three lists. Batches up to the snapshot's in `seqs`, by shard, are in it.
// mode: read
// params: since, seqs, categories, streamers, limit
// columns: products, purchases, buyers
MATCH (u:User)-[b:BOUGHT]->(p:Product)
WHERE b.at >= $since
  AND b.refunded_at IS NULL
  AND b.seq > coalesce($seqs[b.shard], 0)
  AND ($categories IS NULL OR EXISTS { MATCH (p)-[:IN]->(c:Category) WHERE c.id IN $categories })
  AND ($streamers IS NULL OR b.streamer_id IN $streamers
       OR EXISTS { MATCH (s:Streamer)-[:SELLS]->(p) WHERE s.id IN $streamers })
WITH u, b, p ORDER BY b.at DESC LIMIT toInteger($limit)
WITH p, count(b) AS purchases, count(DISTINCT u) AS buyers
WITH p.id AS product, purchases, buyers
WHERE product IS NOT NULL
RETURN collect(product) AS products, collect(purchases) AS purchases, collect(buyers) AS buyers
