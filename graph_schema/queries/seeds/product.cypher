// Who bought a product, refunds left out, and who sells it: one record of lists.
// mode: read
// params: product_id
// columns: is_known, buyer, seller
OPTIONAL MATCH (product:Product {id: $product_id})
CALL (product) {
  MATCH (user:User)-[bought:BOUGHT]->(product)
  WHERE bought.refunded_at IS NULL
  RETURN collect(DISTINCT user.index) AS buyer
}
CALL (product) {
  MATCH (streamer:Streamer)-[:SELLS]->(product)
  RETURN collect(streamer.index) AS seller
}
RETURN product IS NOT NULL AS is_known, buyer, seller
