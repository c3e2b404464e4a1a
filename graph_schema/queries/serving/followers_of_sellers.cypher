// The followers of a product's sellers who neither bought nor dismissed it: who follows most of them first, then
// who began last; how many of them each follows. One record of two lists.
// Bounded: the 20 sellers who offer it most, 20,000 followers of each.
// mode: read
// params: product_id, limit
// columns: user_ids, num_sellers
MATCH (product:Product {id: $product_id})
CALL (product) {
  MATCH (seller:Streamer)-[sells:SELLS]->(product)
  WITH seller, sells
  ORDER BY sells.count DESC, seller.id
  LIMIT 20
  RETURN seller
}
CALL (seller) {
  MATCH (user:User)-[f:FOLLOWS]->(seller)
  RETURN user, f.at AS at
  LIMIT 20000
}
WITH product, user, count(*) AS num, max(at) AS last_at
WHERE NOT EXISTS { MATCH (user)-[b:BOUGHT]->(product) WHERE b.refunded_at IS NULL }
  AND NOT EXISTS { (user)-[:DISMISSED]->(product) }
WITH user.id AS user_id, num, last_at
WHERE user_id IS NOT NULL
WITH user_id, num, last_at
ORDER BY num DESC, last_at DESC, user_id
LIMIT $limit
RETURN collect(user_id) AS user_ids, collect(num) AS num_sellers
