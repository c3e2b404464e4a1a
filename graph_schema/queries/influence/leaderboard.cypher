// Streamers by the users who bought in their streams or through them within a window, the most buyers first,
// from the one after `after` on ([buyers, purchases, id], or null): whom they reached and for how many seconds,
// product views and carts with them, buyers, purchases and amount without refunds (`gmv` with them), new
// followers, and the shares of the buyers who bought twice or more and who follow. Rates are null over 0.
// mode: read
// params: since, until, category, min_buyers, after, limit
// columns: streamer_id, name, reach, watch_seconds, views, click_rate, carts, view_to_cart, cart_to_buy, buyers, purchases, amount, average_order, items_per_order, new_followers, refunds, refunded_amount, gmv, repeat_rate, share_of_buyers_who_follow
MATCH (user:User)-[bought:BOUGHT]->(product:Product)
WHERE bought.at >= $since AND bought.at < $until AND bought.streamer_id <> ''
  AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
WITH bought.streamer_id AS streamer_id, user, bought,
     CASE WHEN bought.refunded_at IS NULL THEN 1 ELSE 0 END AS is_kept
WITH streamer_id, user, sum(is_kept) AS purchases, sum(is_kept * bought.amount) AS amount,
     sum(is_kept * bought.quantity) AS items, sum(1 - is_kept) AS refunds,
     sum((1 - is_kept) * bought.amount) AS refunded_amount
MATCH (streamer:Streamer {id: streamer_id})
WITH streamer, purchases, amount, items, refunds, refunded_amount,
     CASE WHEN purchases > 0 THEN 1 ELSE 0 END AS buys,
     CASE WHEN purchases > 1 THEN 1 ELSE 0 END AS repeats,
     CASE WHEN purchases > 0 AND EXISTS { (user)-[:FOLLOWS]->(streamer) } THEN 1 ELSE 0 END AS follows
WITH streamer, sum(buys) AS buyers, sum(purchases) AS purchases, sum(amount) AS amount, sum(items) AS items,
     sum(refunds) AS refunds, sum(refunded_amount) AS refunded_amount, sum(repeats) AS repeating,
     sum(follows) AS following
WHERE buyers >= $min_buyers
  AND ($after IS NULL OR buyers < $after[0]
       OR (buyers = $after[0] AND (purchases < $after[1] OR (purchases = $after[1] AND streamer.id > $after[2]))))
WITH * ORDER BY buyers DESC, purchases DESC, streamer.id LIMIT $limit
CALL (streamer) {
  MATCH (watching:User)-[w:WATCHED]->(streamer)
  WHERE w.first_at >= $since AND w.first_at < $until
  RETURN count(DISTINCT watching) AS reach, sum(w.seconds) AS watch_seconds
}
CALL (streamer) {
  MATCH (:User)-[v:VIEWED]->(seen:Product)
  USING INDEX v:VIEWED(streamer_id, day)
  WHERE v.streamer_id = streamer.id AND v.day >= date($since) AND v.day <= date($until)
    AND v.first_at >= $since AND v.first_at < $until
    AND ($category = '' OR EXISTS { (seen)-[:IN]->(:Category {id: $category}) })
  RETURN sum(v.count) AS views
}
CALL (streamer) {
  MATCH (:User)-[c:CARTED]->(carted:Product)
  USING INDEX c:CARTED(streamer_id, day)
  WHERE c.streamer_id = streamer.id AND c.day >= date($since) AND c.day <= date($until)
    AND c.first_at >= $since AND c.first_at < $until
    AND ($category = '' OR EXISTS { (carted)-[:IN]->(:Category {id: $category}) })
  RETURN sum(c.count) AS carts
}
CALL (streamer) {
  MATCH (:User)-[f:FOLLOWS]->(streamer)
  WHERE f.at >= $since AND f.at < $until
  RETURN count(f) AS new_followers
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
       refunded_amount,
       amount + refunded_amount AS gmv,
       CASE WHEN buyers > 0 THEN toFloat(repeating) / buyers END AS repeat_rate,
       CASE WHEN buyers > 0 THEN toFloat(following) / buyers END AS share_of_buyers_who_follow
ORDER BY buyers DESC, purchases DESC, streamer_id
