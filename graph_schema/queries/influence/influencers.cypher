// The streamers behind one user's purchases within a window: those whom the purchases name, with what the user
// did with each: follows, seconds watched, products viewed, purchases and their amount; refunds stand apart.
// Streamers who were only followed, watched or viewed come after them. Those with `min_purchases`, from the one after
// `after` on ([-purchases, -amount, -watch_seconds, -views, id], or null).
// mode: read
// params: user_id, since, until, category, min_purchases, after, limit
// columns: streamer_id, name, follows, watch_seconds, views, purchases, amount, refunds, last_bought_at
MATCH (user:User {id: $user_id})
CALL (user) {
  MATCH (user)-[:FOLLOWS]->(streamer:Streamer)
  RETURN streamer.id AS streamer_id, 0 AS seconds, 0 AS views, 0 AS purchases, 0 AS amount, 0 AS refunds,
         null AS bought_at
  UNION ALL
  MATCH (user)-[watched:WATCHED]->(streamer:Streamer)
  WHERE watched.first_at >= $since AND watched.first_at < $until
  RETURN streamer.id AS streamer_id, sum(watched.seconds) AS seconds, 0 AS views, 0 AS purchases, 0 AS amount,
         0 AS refunds, null AS bought_at
  UNION ALL
  MATCH (user)-[viewed:VIEWED]->(product:Product)
  WHERE viewed.first_at >= $since AND viewed.first_at < $until AND viewed.streamer_id <> ''
    AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
  RETURN viewed.streamer_id AS streamer_id, 0 AS seconds, sum(viewed.count) AS views, 0 AS purchases,
         0 AS amount, 0 AS refunds, null AS bought_at
  UNION ALL
  MATCH (user)-[bought:BOUGHT]->(product:Product)
  WHERE bought.at >= $since AND bought.at < $until AND bought.streamer_id <> ''
    AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
  WITH bought, CASE WHEN bought.refunded_at IS NULL THEN 1 ELSE 0 END AS is_kept
  RETURN bought.streamer_id AS streamer_id, 0 AS seconds, 0 AS views, sum(is_kept) AS purchases,
         sum(is_kept * bought.amount) AS amount, sum(1 - is_kept) AS refunds,
         max(CASE is_kept WHEN 1 THEN bought.at END) AS bought_at
}
WITH user, streamer_id, sum(seconds) AS watch_seconds, sum(views) AS views, sum(purchases) AS purchases,
     sum(amount) AS amount, sum(refunds) AS refunds, max(bought_at) AS bought_at
MATCH (streamer:Streamer {id: streamer_id})
WHERE purchases >= $min_purchases
  AND ($after IS NULL OR [-purchases, -amount, -watch_seconds, -views, streamer_id] > $after)
RETURN streamer.id AS streamer_id, coalesce(streamer.name, '') AS name,
       EXISTS { (user)-[:FOLLOWS]->(streamer) } AS follows, watch_seconds, views, purchases, amount, refunds,
       toString(localdatetime(bought_at)) + 'Z' AS last_bought_at
ORDER BY purchases DESC, amount DESC, watch_seconds DESC, views DESC, streamer_id
LIMIT $limit
