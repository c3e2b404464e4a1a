// Counts the products that users carted, by streamer, stream and day.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (p:Product {id: row.product_id})
MERGE (u)-[c:CARTED {stream_id: row.stream_id, streamer_id: row.streamer_id, day: row.day}]->(p)
ON CREATE SET
    c.count = row.count,
    c.first_at = datetime({epochMillis: row.first_at}),
    c.last_at = datetime({epochMillis: row.last_at})
ON MATCH SET
    c.count = c.count + row.count,
    c.first_at = CASE WHEN c.first_at.epochMillis <= row.first_at THEN c.first_at ELSE datetime({epochMillis: row.first_at}) END,
    c.last_at = CASE WHEN c.last_at.epochMillis >= row.last_at THEN c.last_at ELSE datetime({epochMillis: row.last_at}) END
RETURN count(*) AS num_rows
