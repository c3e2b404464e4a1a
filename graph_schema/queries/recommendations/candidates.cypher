// Which of some products may be shown to a user now: on offer, not dismissed, not bought (a refunded
// purchase is none), and whether the graph knows the user. No row when none may.
// mode: read
// params: user_id, product_ids, include_bought
// columns: is_known, product_ids
OPTIONAL MATCH (user:User {id: $user_id})
UNWIND $product_ids AS product_id
MATCH (product:Product {id: product_id})
WHERE NOT coalesce(product.hidden, false)
  AND coalesce(product.in_stock, true)
  AND coalesce(product.expires_at > datetime(), true)
  AND NOT EXISTS { (user)-[:DISMISSED]->(product) }
  AND ($include_bought OR NOT EXISTS { (user)-[bought:BOUGHT]->(product) WHERE bought.refunded_at IS NULL })
RETURN user IS NOT NULL AS is_known, collect(product_id) AS product_ids
