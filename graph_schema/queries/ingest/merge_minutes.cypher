// Adds to the minutes of streams.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (t:Stream {id: row.stream_id})
MERGE (m:Minute {stream_id: row.stream_id, at: datetime({epochMillis: row.at})})
MERGE (t)-[:HAS_MINUTE]->(m)
SET m.num_joined = coalesce(m.num_joined, 0) + row.num_joined,
    m.num_views = coalesce(m.num_views, 0) + row.num_views,
    m.num_carts = coalesce(m.num_carts, 0) + row.num_carts,
    m.num_purchases = coalesce(m.num_purchases, 0) + row.num_purchases
RETURN count(*) AS num_rows
