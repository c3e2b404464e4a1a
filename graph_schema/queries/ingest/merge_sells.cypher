// Counts the products that streamers offered.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (s:Streamer {id: row.streamer_id})
MATCH (p:Product {id: row.product_id})
MERGE (s)-[c:SELLS]->(p)
ON CREATE SET
    c.count = row.count,
    c.first_at = datetime({epochMillis: row.first_at}),
    c.last_at = datetime({epochMillis: row.last_at})
ON MATCH SET
    c.count = c.count + row.count,
    c.first_at = CASE WHEN c.first_at.epochMillis <= row.first_at THEN c.first_at ELSE datetime({epochMillis: row.first_at}) END,
    c.last_at = CASE WHEN c.last_at.epochMillis >= row.last_at THEN c.last_at ELSE datetime({epochMillis: row.last_at}) END
RETURN count(*) AS num_rows
