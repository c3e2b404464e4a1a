// Streamers by the users who bought in their streams or through them within a window, the most buyers first,
// from the one after `after` on ([buyers, purchases, id], or null): whom they reached and for how many seconds,
// product views and carts with them, buyers, purchases and amount without refunds (`gmv` with them), new
// followers, and the shares of the buyers who bought twice or more and who follow. Rates are null over 0.
// First the order alone, of all streamers; the rest is counted for those that are shown.
// mode: read
// params: since, until, category, min_buyers, after, limit
// columns: streamer_id, name, reach, watch_seconds, views, click_rate, carts, view_to_cart, cart_to_buy, buyers, purchases, amount, average_order, items_per_order, new_followers, refunds, refunded_amount, gmv, repeat_rate, share_of_buyers_who_follow
CALL () {
  MATCH (:Category {id: $category})<-[:IN]-(product)
  RETURN collect(product) AS products
}
MATCH (streamer:Streamer)
CALL (streamer, products) {
  MATCH (user)-[bought:BOUGHT]->(product)
  USING INDEX bought:BOUGHT(streamer_id, at)
  WHERE bought.streamer_id = streamer.id AND bought.at >= $since AND bought.at < $until
    AND bought.refunded_at IS NULL
    AND ($category = '' OR product IN products)
  RETURN count(DISTINCT user) AS buyers, count(*) AS purchases
}
WITH streamer, products, buyers, purchases
WHERE buyers >= $min_buyers
  AND ($after IS NULL OR buyers < $after[0]
       OR (buyers = $after[0] AND (purchases < $after[1] OR (purchases = $after[1] AND streamer.id > $after[2]))))
WITH * ORDER BY buyers DESC, purchases DESC, streamer.id LIMIT $limit
CALL (streamer, products) {
  MATCH (user)-[bought:BOUGHT]->(product)
  USING INDEX bought:BOUGHT(streamer_id, at)
  WHERE bought.streamer_id = streamer.id AND bought.at >= $since AND bought.at < $until
    AND ($category = '' OR product IN products)
  WITH user, bought.amount AS amount, bought.quantity AS quantity, bought.refunded_at IS NULL AS is_kept
  RETURN sum(amount) AS gmv,
         sum(CASE WHEN is_kept THEN amount ELSE 0 END) AS amount,
         sum(CASE WHEN is_kept THEN quantity ELSE 0 END) AS items,
         sum(CASE WHEN is_kept THEN 0 ELSE 1 END) AS refunds,
         collect(CASE WHEN is_kept THEN user END) AS users
}
CALL (streamer, users) {
  CALL (streamer, users) {
    UNWIND users AS user
    WITH user, count(*) AS purchases
    RETURN user, 1 AS buys, CASE WHEN purchases > 1 THEN 1 ELSE 0 END AS repeats, 0 AS follows, 0 AS is_new
    UNION ALL
    MATCH (user)-[followed:FOLLOWS]->(streamer)
    RETURN user, 0 AS buys, 0 AS repeats, 1 AS follows,
           CASE WHEN followed.at >= $since AND followed.at < $until THEN 1 ELSE 0 END AS is_new
  }
  WITH user, sum(buys) AS buys, sum(repeats) AS repeats, sum(follows) AS follows, sum(is_new) AS is_new
  RETURN sum(repeats) AS repeating, sum(buys * follows) AS following, sum(is_new) AS new_followers
}
CALL (streamer) {
  MATCH (watching)-[w:WATCHED]->(streamer)
  WHERE w.first_at >= $since AND w.first_at < $until
  RETURN count(DISTINCT watching) AS reach, sum(w.seconds) AS watch_seconds
}
CALL (streamer, products) {
  MATCH ()-[v:VIEWED]->(seen)
  USING INDEX v:VIEWED(streamer_id, day)
  WHERE v.streamer_id = streamer.id AND v.day >= date($since) AND v.day <= date($until)
    AND v.first_at >= $since AND v.first_at < $until
    AND ($category = '' OR seen IN products)
  RETURN sum(v.count) AS views
}
CALL (streamer, products) {
  MATCH ()-[c:CARTED]->(carted)
  USING INDEX c:CARTED(streamer_id, day)
  WHERE c.streamer_id = streamer.id AND c.day >= date($since) AND c.day <= date($until)
    AND c.first_at >= $since AND c.first_at < $until
    AND ($category = '' OR carted IN products)
  RETURN sum(c.count) AS carts
}
RETURN streamer.id AS streamer_id,
       coalesce(streamer.name, '') AS name,
       reach,
       watch_seconds,
       views,
       CASE WHEN reach > 0 THEN toFloat(views) / reach END AS click_rate,
       carts,
       CASE WHEN views > 0 THEN toFloat(carts) / views END AS view_to_cart,
       CASE WHEN carts > 0 THEN toFloat(purchases) / carts END AS cart_to_buy,
       buyers,
       purchases,
       amount,
       CASE WHEN purchases > 0 THEN toFloat(amount) / purchases END AS average_order,
       CASE WHEN purchases > 0 THEN toFloat(items) / purchases END AS items_per_order,
       new_followers,
       refunds,
       gmv - amount AS refunded_amount,
       gmv,
       CASE WHEN buyers > 0 THEN toFloat(repeating) / buyers END AS repeat_rate,
       CASE WHEN buyers > 0 THEN toFloat(following) / buyers END AS share_of_buyers_who_follow
ORDER BY buyers DESC, purchases DESC, streamer_id
