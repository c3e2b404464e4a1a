// Products that users do not want to see; the latest time stays.
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
WITH users[row[0]] AS u, products[row[1]] AS p, datetime({epochMillis: row[2]}) AS at
MERGE (u)-[d:DISMISSED]->(p)
SET d.at = CASE WHEN d.at >= at THEN d.at ELSE at END
RETURN count(*) AS num_rows
