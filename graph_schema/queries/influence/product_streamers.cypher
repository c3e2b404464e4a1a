// The streamers behind one product: who sells it or had purchases of it within a window, with those
// purchases, their buyers and amount, and the share of the buyers who follow. Refunds are left out. Those with
// `min_buyers`, from the one after `after` on ([-buyers, -showcases, id], or null).
// mode: read
// params: product_id, since, until, min_buyers, after, limit
// columns: streamer_id, name, sells, showcases, buyers, purchases, amount, share_of_buyers_who_follow
MATCH (product:Product {id: $product_id})
CALL (product) {
  MATCH (streamer:Streamer)-[sold:SELLS]->(product)
  RETURN streamer.id AS streamer_id, sold.count AS showcases, null AS user, 0 AS purchases, 0 AS amount
  UNION ALL
  MATCH (user:User)-[bought:BOUGHT]->(product)
  WHERE bought.at >= $since AND bought.at < $until
    AND bought.streamer_id <> '' AND bought.refunded_at IS NULL
  RETURN bought.streamer_id AS streamer_id, 0 AS showcases, user,
         count(*) AS purchases, sum(bought.amount) AS amount
}
MATCH (streamer:Streamer {id: streamer_id})
WITH streamer, user, showcases, purchases, amount,
     CASE WHEN EXISTS { (user)-[:FOLLOWS]->(streamer) } THEN 1 ELSE 0 END AS follows
WITH streamer, sum(showcases) AS showcases, count(user) AS buyers, sum(purchases) AS purchases,
     sum(amount) AS amount, sum(follows) AS following_buyers
WHERE buyers >= $min_buyers AND ($after IS NULL OR [-buyers, -showcases, streamer.id] > $after)
RETURN streamer.id AS streamer_id,
       coalesce(streamer.name, '') AS name,
       EXISTS { (streamer)-[:SELLS]->(:Product {id: $product_id}) } AS sells,
       showcases,
       buyers,
       purchases,
       amount,
       CASE WHEN buyers = 0 THEN 0.0 ELSE toFloat(following_buyers) / buyers END AS share_of_buyers_who_follow
ORDER BY buyers DESC, showcases DESC, streamer_id
LIMIT $limit
