// Why each of some products is shown to a user: up to three followed streamers who sell it, and how many
// users alike bought it, looked for among 10 buyers of each of the user's 10 latest purchases.
// mode: read
// params: user_id, product_ids
// columns: product_id, streamers, num_alike
MATCH (user:User {id: $user_id})
MATCH (shown:Product)
WHERE shown.id IN $product_ids
WITH user, collect(shown) AS products
CALL (user, products) {
  MATCH (user)-[mine:BOUGHT]->(shared:Product)
  WHERE mine.refunded_at IS NULL
  WITH user, products, shared, max(mine.at) AS last_at
  ORDER BY last_at DESC
  LIMIT 10
  CALL (user, shared) {
    MATCH (shared)<-[theirs:BOUGHT]-(other:User)
    WHERE other <> user AND theirs.refunded_at IS NULL
    RETURN other
    LIMIT 10
  }
  WITH DISTINCT other, products
  MATCH (other)-[theirs:BOUGHT]->(product)
  WHERE product IN products AND theirs.refunded_at IS NULL
  WITH product, count(DISTINCT other) AS num_alike
  RETURN collect({product: product, num_alike: num_alike}) AS alike
}
UNWIND products AS product
CALL (user, product) {
  MATCH (user)-[:FOLLOWS]->(streamer:Streamer)-[sells:SELLS]->(product)
  WITH streamer, sells
  ORDER BY sells.count DESC, streamer.id
  LIMIT 3
  RETURN collect({id: streamer.id, name: coalesce(streamer.name, '')}) AS streamers
}
RETURN product.id AS product_id,
       streamers,
       coalesce(head([row IN alike WHERE row.product = product | row.num_alike]), 0) AS num_alike
