// Replaces the records of streamers; the latest wins, and of two at one moment the greater event_id.
// mode: write
// params: batch
// columns: num_rows
UNWIND $batch.rows AS row
MATCH (n:Streamer {id: row.id})
WITH row, n, datetime({epochMillis: row.at}) AS at
FOREACH (_ IN CASE WHEN n.record_at > at OR (n.record_at = at AND n.record_event_id >= row.event_id) THEN [] ELSE [1] END |
  SET n.name = row.name, n.record_at = at, n.record_event_id = row.event_id)
RETURN count(*) AS num_rows
