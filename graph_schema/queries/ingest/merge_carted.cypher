// Counts the products that users carted, by streamer, stream and day.
// As lists, so that it is found from its user: an index of relationships that is asked row by row leaves some out
// while others are deleted (Neo4j 2026.09), and what was left out would be created again.
// mode: write
// params: batch
// columns: num_rows
CALL () {
  UNWIND range(0, size($batch.users) - 1) AS place
  MATCH (u:User {id: $batch.users[place]})
  WITH u ORDER BY place
  RETURN collect(u) AS users
}
CALL () {
  UNWIND range(0, size($batch.products) - 1) AS place
  MATCH (p:Product {id: $batch.products[place]})
  WITH p ORDER BY place
  RETURN collect(p) AS products
}
WITH users, products
WHERE size(users) = size($batch.users) AND size(products) = size($batch.products)
UNWIND $batch.rows AS row
WITH users[row[0]] AS u, products[row[1]] AS p, $batch.streamer_ids[row[2]] AS streamer_id,
  $batch.stream_ids[row[3]] AS stream_id, $batch.days[row[4]] AS day, row[5] AS count, row[6] AS first_at,
  row[7] AS last_at
OPTIONAL MATCH (u)-[r:CARTED]->(p)
  WHERE [r.streamer_id, r.stream_id, r.day] = [streamer_id, stream_id, day]
FOREACH (_ IN CASE WHEN r IS NULL THEN [1] ELSE [] END |
  CREATE (u)-[:CARTED {streamer_id: streamer_id, stream_id: stream_id, day: day, count: count,
    first_at: datetime({epochMillis: first_at}), last_at: datetime({epochMillis: last_at})}]->(p))
FOREACH (_ IN CASE WHEN r IS NULL THEN [] ELSE [1] END |
  SET r.count = r.count + count,
    r.first_at = CASE WHEN r.first_at.epochMillis <= first_at THEN r.first_at ELSE datetime({epochMillis: first_at}) END,
    r.last_at = CASE WHEN r.last_at.epochMillis >= last_at THEN r.last_at ELSE datetime({epochMillis: last_at}) END)
RETURN count(*) AS num_rows
