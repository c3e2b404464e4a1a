// The products that a user bought and did not give back, the latest first.
// mode: read
// params: user_id, limit
// columns: product_id
MATCH (:User {id: $user_id})-[bought:BOUGHT]->(product:Product)
WHERE bought.refunded_at IS NULL
WITH product, max(bought.at) AS last_at
ORDER BY last_at DESC, product.id
LIMIT $limit
RETURN product.id AS product_id
