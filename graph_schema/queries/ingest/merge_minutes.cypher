// Adds to the minutes of streams.
// mode: write
// params: batch
// columns: num_rows
CALL () {
  UNWIND range(0, size($batch.streams) - 1) AS place
  MATCH (t:Stream {id: $batch.streams[place]})
  WITH t ORDER BY place
  RETURN collect(t) AS streams
}
WITH streams
WHERE size(streams) = size($batch.streams)
UNWIND $batch.rows AS row
WITH streams[row[0]] AS t, row, datetime({epochMillis: row[1]}) AS at
OPTIONAL MATCH (m:Minute {stream_id: t.id, at: at})
FOREACH (_ IN CASE WHEN m IS NULL THEN [1] ELSE [] END |
  MERGE (new:Minute {stream_id: t.id, at: at})
  ON CREATE SET new.num_joined = row[2], new.num_views = row[3], new.num_carts = row[4], new.num_purchases = row[5]
  ON MATCH SET new.num_joined = new.num_joined + row[2], new.num_views = new.num_views + row[3],
    new.num_carts = new.num_carts + row[4], new.num_purchases = new.num_purchases + row[5]
  MERGE (t)-[:HAS_MINUTE]->(new))
FOREACH (_ IN CASE WHEN m IS NULL THEN [] ELSE [1] END |
  SET m.num_joined = m.num_joined + row[2],
    m.num_views = m.num_views + row[3],
    m.num_carts = m.num_carts + row[4],
    m.num_purchases = m.num_purchases + row[5])
RETURN count(*) AS num_rows
