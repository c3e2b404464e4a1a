// Which of some products may be shown to a user now: on offer, not dismissed, not bought (a refunded
// purchase is none), and whether the user has a slate of the release: an erasure takes it away for good,
// even if the user comes back. No row when none may be shown.
// mode: read
// params: user_id, release_id, product_ids, include_bought
// columns: has_slate, product_ids
OPTIONAL MATCH (user:User {id: $user_id})
WITH user, EXISTS { (user)-[:HAS_SLATE]->(:Slate {release_id: $release_id}) } AS has_slate
UNWIND $product_ids AS product_id
MATCH (product:Product {id: product_id})
WHERE NOT coalesce(product.hidden, false)
  AND coalesce(product.in_stock, true)
  AND coalesce(product.expires_at > datetime(), true)
  AND NOT EXISTS { (user)-[:DISMISSED]->(product) }
  AND ($include_bought OR NOT EXISTS { (user)-[bought:BOUGHT]->(product) WHERE bought.refunded_at IS NULL })
RETURN has_slate, collect(product_id) AS product_ids
