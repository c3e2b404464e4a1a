// Counts the products that streamers offered.
// mode: write
// params: batch
// columns: num_rows
CALL () {
  UNWIND range(0, size($batch.streamers) - 1) AS place
  MATCH (s:Streamer {id: $batch.streamers[place]})
  WITH s ORDER BY place
  RETURN collect(s) AS streamers
}
CALL () {
  UNWIND range(0, size($batch.products) - 1) AS place
  MATCH (p:Product {id: $batch.products[place]})
  WITH p ORDER BY place
  RETURN collect(p) AS products
}
WITH streamers, products
WHERE size(streamers) = size($batch.streamers) AND size(products) = size($batch.products)
UNWIND $batch.rows AS row
WITH streamers[row[0]] AS s, products[row[1]] AS p, row[2] AS count, row[3] AS first_at,
  row[4] AS last_at
MERGE (s)-[r:SELLS]->(p)
ON CREATE SET r.count = count, r.first_at = datetime({epochMillis: first_at}), r.last_at = datetime({epochMillis: last_at})
ON MATCH SET r.count = r.count + count,
    r.first_at = CASE WHEN r.first_at.epochMillis <= first_at THEN r.first_at ELSE datetime({epochMillis: first_at}) END,
    r.last_at = CASE WHEN r.last_at.epochMillis >= last_at THEN r.last_at ELSE datetime({epochMillis: last_at}) END
RETURN count(*) AS num_rows
