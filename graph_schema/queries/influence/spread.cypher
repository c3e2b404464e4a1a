// How one product spreads over streamers and time: for each UTC day of a window and each streamer with whom it
// was seen ('' for none), its views, carts, and purchases with their buyers and amount; refunds stand apart. Those with
// `min_buyers`, in order of day and streamer, from the one after `after` on ([day, streamer's id], or null).
// mode: read
// params: product_id, since, until, min_buyers, after, limit
// columns: day, streamer_id, name, views, carts, buyers, purchases, amount, refunds, refunded_amount
MATCH (product:Product {id: $product_id})
CALL (product) {
  MATCH (:User)-[viewed:VIEWED]->(product)
  WHERE viewed.first_at >= $since AND viewed.first_at < $until
  RETURN viewed.day AS day, viewed.streamer_id AS streamer_id, sum(viewed.count) AS views, 0 AS carts,
         0 AS buyers, 0 AS purchases, 0 AS amount, 0 AS refunds, 0 AS refunded_amount
  UNION ALL
  MATCH (:User)-[carted:CARTED]->(product)
  WHERE carted.first_at >= $since AND carted.first_at < $until
  RETURN carted.day AS day, carted.streamer_id AS streamer_id, 0 AS views, sum(carted.count) AS carts,
         0 AS buyers, 0 AS purchases, 0 AS amount, 0 AS refunds, 0 AS refunded_amount
  UNION ALL
  MATCH (user:User)-[bought:BOUGHT]->(product)
  WHERE bought.at >= $since AND bought.at < $until
  WITH user, bought, CASE WHEN bought.refunded_at IS NULL THEN 1 ELSE 0 END AS is_kept
  RETURN date(bought.at) AS day, bought.streamer_id AS streamer_id, 0 AS views, 0 AS carts,
         count(DISTINCT CASE is_kept WHEN 1 THEN user END) AS buyers, sum(is_kept) AS purchases,
         sum(is_kept * bought.amount) AS amount, sum(1 - is_kept) AS refunds,
         sum((1 - is_kept) * bought.amount) AS refunded_amount
}
WITH day, streamer_id, sum(views) AS views, sum(carts) AS carts, sum(buyers) AS buyers,
     sum(purchases) AS purchases, sum(amount) AS amount, sum(refunds) AS refunds,
     sum(refunded_amount) AS refunded_amount
WHERE buyers >= $min_buyers AND ($after IS NULL OR [toString(day), streamer_id] > $after)
WITH * ORDER BY day, streamer_id
LIMIT $limit
OPTIONAL MATCH (streamer:Streamer {id: streamer_id})
RETURN toString(day) AS day, streamer_id, coalesce(streamer.name, '') AS name, views, carts, buyers,
       purchases, amount, refunds, refunded_amount
ORDER BY day, streamer_id
