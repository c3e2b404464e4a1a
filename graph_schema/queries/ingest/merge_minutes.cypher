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
MERGE (m:Minute {stream_id: t.id, at: at})
  ON CREATE SET m.num_joined = 0, m.num_views = 0, m.num_carts = 0, m.num_purchases = 0
MERGE (t)-[:HAS_MINUTE]->(m)
SET m.num_joined = m.num_joined + row[2],
    m.num_views = m.num_views + row[3],
    m.num_carts = m.num_carts + row[4],
    m.num_purchases = m.num_purchases + row[5]
RETURN count(*) AS num_rows
