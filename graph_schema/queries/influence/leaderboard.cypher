// Streamers by the users who bought in their streams or through them within a window: buyers, purchases,
// amount in minor units, and the share of the buyers who follow them. Refunded purchases are left out.
// mode: read
// params: since, until, category, min_buyers, limit
// columns: streamer_id, name, buyers, purchases, amount, share_of_buyers_who_follow
MATCH (user:User)-[bought:BOUGHT]->(product:Product)
WHERE bought.at >= $since AND bought.at < $until
  AND bought.streamer_id <> '' AND bought.refunded_at IS NULL
  AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
WITH bought.streamer_id AS streamer_id, user, count(*) AS purchases, sum(bought.amount) AS amount
MATCH (streamer:Streamer {id: streamer_id})
WITH streamer, user, purchases, amount,
     CASE WHEN EXISTS { (user)-[:FOLLOWS]->(streamer) } THEN 1 ELSE 0 END AS follows
WITH streamer, count(user) AS buyers, sum(purchases) AS purchases, sum(amount) AS amount,
     sum(follows) AS following_buyers
WHERE buyers >= $min_buyers
RETURN streamer.id AS streamer_id,
       coalesce(streamer.name, '') AS name,
       buyers,
       purchases,
       amount,
       toFloat(following_buyers) / buyers AS share_of_buyers_who_follow
ORDER BY buyers DESC, purchases DESC, streamer_id
LIMIT $limit
