// Streamers host streams: the earliest start and the latest end stay.
// mode: write
// params: batch
// columns: num_rows
UNWIND $batch.rows AS row
MATCH (s:Streamer {id: row.streamer_id})
MATCH (t:Stream {id: row.stream_id})
MERGE (s)-[:HOSTED]->(t)
WITH t,
  CASE WHEN row.started_at IS NOT NULL THEN datetime({epochMillis: row.started_at}) END AS started_at,
  CASE WHEN row.ended_at IS NOT NULL THEN datetime({epochMillis: row.ended_at}) END AS ended_at
SET t.started_at = CASE WHEN t.started_at <= started_at THEN t.started_at ELSE coalesce(started_at, t.started_at) END,
    t.ended_at = CASE WHEN t.ended_at >= ended_at THEN t.ended_at ELSE coalesce(ended_at, t.ended_at) END
RETURN count(*) AS num_rows
