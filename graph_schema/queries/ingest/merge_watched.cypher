// Adds watched seconds; returns how many joined in which minute, and from which minute they moved.
// mode: write
// params: rows
// columns: stream_id, old_minute, new_minute, num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (s:Streamer {id: row.streamer_id})
OPTIONAL MATCH (u)-[w:WATCHED {stream_id: row.stream_id, day: row.day}]->(s)
WITH row, u, s, w, w.first_at.epochMillis AS old_first_at
FOREACH (_ IN CASE WHEN w IS NULL THEN [1] ELSE [] END |
  CREATE (u)-[:WATCHED {stream_id: row.stream_id, day: row.day, seconds: row.seconds,
    first_at: datetime({epochMillis: row.first_at}), last_at: datetime({epochMillis: row.last_at})}]->(s))
FOREACH (_ IN CASE WHEN w IS NULL THEN [] ELSE [1] END |
  SET w.seconds = w.seconds + row.seconds,
    w.first_at = CASE WHEN old_first_at <= row.first_at THEN w.first_at ELSE datetime({epochMillis: row.first_at}) END,
    w.last_at = CASE WHEN w.last_at.epochMillis >= row.last_at THEN w.last_at ELSE datetime({epochMillis: row.last_at}) END)
RETURN row.stream_id AS stream_id, old_first_at / 60000 AS old_minute,
  CASE WHEN old_first_at <= row.first_at THEN old_first_at ELSE row.first_at END / 60000 AS new_minute, count(*) AS num_rows
