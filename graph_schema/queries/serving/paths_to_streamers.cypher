// What leads from a user to each of some streamers, for those to whom something does: up to three products that
// the streamer sells and the user bought, and how long the user watched the streamer. A refunded purchase is none.
// Bounded on dense nodes: 500 purchases, 2,000 watchings, 500 sellers of a product.
// mode: read
// params: user_id, streamer_ids
// columns: streamer_id, name, products, seconds
MATCH (user:User {id: $user_id})
CALL (user) {
  MATCH (user)-[b:BOUGHT]->(product)
  WITH product, b
  LIMIT 500
  WITH product, b
  WHERE b.refunded_at IS NULL
  WITH product, max(b.at) AS at
  CALL (product) {
    MATCH (product)<-[:SELLS]-(seller)
    WITH seller
    LIMIT 500
    WITH seller
    WHERE seller.id IN $streamer_ids
    RETURN seller
  }
  WITH seller, product, at
  ORDER BY at DESC, product.id
  WITH seller, collect({id: product.id, name: product.name})[..3] AS products
  RETURN collect({streamer: seller, products: products}) AS sold
}
CALL (user) {
  MATCH (user)-[w:WATCHED]->(streamer)
  WITH streamer, w
  LIMIT 2000
  WITH streamer, w
  WHERE streamer.id IN $streamer_ids
  WITH streamer, sum(w.seconds) AS seconds
  RETURN collect({streamer: streamer, seconds: seconds}) AS watched
}
UNWIND $streamer_ids AS streamer_id
MATCH (streamer:Streamer {id: streamer_id})
WITH streamer,
  coalesce(head([row IN sold WHERE row.streamer = streamer | row.products]), []) AS products,
  coalesce(head([row IN watched WHERE row.streamer = streamer | row.seconds]), 0) AS seconds
WHERE products <> [] OR seconds > 0
RETURN streamer.id AS streamer_id, streamer.name AS name, products, seconds
