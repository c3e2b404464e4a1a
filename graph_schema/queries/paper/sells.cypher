// What streamers had offered before a time: one record of two lists.
// mode: read
// params: until
// columns: streamer, product
MATCH (s:Streamer)-[r:SELLS]->(p:Product)
WHERE r.first_at < $until
WITH s.index AS streamer, p.index AS product
WHERE streamer IS NOT NULL AND product IS NOT NULL
RETURN collect(streamer) AS streamer, collect(product) AS product
