// Adds comments, likes, gifts and shares.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (s:Streamer {id: row.streamer_id})
MERGE (u)-[e:ENGAGED {stream_id: row.stream_id, day: row.day}]->(s)
ON CREATE SET
    e.comments = row.comments,
    e.likes = row.likes,
    e.gifts = row.gifts,
    e.shares = row.shares,
    e.first_at = datetime({epochMillis: row.first_at}),
    e.last_at = datetime({epochMillis: row.last_at})
ON MATCH SET
    e.comments = e.comments + row.comments,
    e.likes = e.likes + row.likes,
    e.gifts = e.gifts + row.gifts,
    e.shares = e.shares + row.shares,
    e.first_at = CASE WHEN e.first_at.epochMillis <= row.first_at THEN e.first_at ELSE datetime({epochMillis: row.first_at}) END,
    e.last_at = CASE WHEN e.last_at.epochMillis >= row.last_at THEN e.last_at ELSE datetime({epochMillis: row.last_at}) END
RETURN count(*) AS num_rows
