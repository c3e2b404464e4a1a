// Counts the products that were offered in streams.
// mode: write
// params: batch
// columns: num_rows
CALL () {
  UNWIND range(0, size($batch.streams) - 1) AS place
  MATCH (t:Stream {id: $batch.streams[place]})
  WITH t ORDER BY place
  RETURN collect(t) AS streams
}
CALL () {
  UNWIND range(0, size($batch.products) - 1) AS place
  MATCH (p:Product {id: $batch.products[place]})
  WITH p ORDER BY place
  RETURN collect(p) AS products
}
WITH streams, products
WHERE size(streams) = size($batch.streams) AND size(products) = size($batch.products)
UNWIND $batch.rows AS row
WITH streams[row[0]] AS t, products[row[1]] AS p, row[2] AS count, row[3] AS first_at, row[4] AS last_at
MERGE (t)-[r:SHOWCASED]->(p)
ON CREATE SET r.count = count, r.first_at = datetime({epochMillis: first_at}), r.last_at = datetime({epochMillis: last_at})
ON MATCH SET r.count = r.count + count,
    r.first_at = CASE WHEN r.first_at.epochMillis <= first_at THEN r.first_at ELSE datetime({epochMillis: first_at}) END,
    r.last_at = CASE WHEN r.last_at.epochMillis >= last_at THEN r.last_at ELSE datetime({epochMillis: last_at}) END
RETURN count(*) AS num_rows
