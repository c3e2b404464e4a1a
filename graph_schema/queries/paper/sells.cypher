// What streamers had offered before a time: one record of two lists.
// mode: read
// params: until
// columns: streamer, product
MATCH (s:Streamer)-[r:SELLS]->(p:Product)
WHERE r.first_at < $until
RETURN collect(s.index) AS streamer, collect(p.index) AS product
