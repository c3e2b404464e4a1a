// Products that users do not want to see; the latest time stays.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (p:Product {id: row.product_id})
MERGE (u)-[d:DISMISSED]->(p)
WITH d, datetime({epochMillis: row.at}) AS at
SET d.at = CASE WHEN d.at >= at THEN d.at ELSE at END
RETURN count(*) AS num_rows
