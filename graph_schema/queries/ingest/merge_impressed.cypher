// Counts the recommendations that users were shown, by release and day.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (p:Product {id: row.product_id})
MERGE (u)-[i:IMPRESSED {release_id: row.release_id, day: row.day}]->(p)
ON CREATE SET
    i.count = row.count,
    i.min_position = row.min_position,
    i.first_at = datetime({epochMillis: row.first_at}),
    i.last_at = datetime({epochMillis: row.last_at})
ON MATCH SET
    i.count = i.count + row.count,
    i.min_position = CASE WHEN i.min_position <= row.min_position THEN i.min_position ELSE row.min_position END,
    i.first_at = CASE WHEN i.first_at.epochMillis <= row.first_at THEN i.first_at ELSE datetime({epochMillis: row.first_at}) END,
    i.last_at = CASE WHEN i.last_at.epochMillis >= row.last_at THEN i.last_at ELSE datetime({epochMillis: row.last_at}) END
RETURN count(*) AS num_rows
