// All that the buyers of two streamers bought with any streamer within a window, refunds left out: one record
// of lists. The streamer of a purchase is 0 for the first, 1 for the second, and 2 for whichever other.
// mode: read
// params: first, second, since, until, category
// columns: user, streamer, amount
MATCH (buyer:User)-[theirs:BOUGHT]->(product:Product)
USING INDEX theirs:BOUGHT(streamer_id, at)
WHERE theirs.streamer_id IN [$first, $second] AND theirs.at >= $since AND theirs.at < $until
  AND theirs.refunded_at IS NULL
  AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
WITH DISTINCT buyer
MATCH (buyer)-[bought:BOUGHT]->(product:Product)
WHERE bought.at >= $since AND bought.at < $until
  AND bought.streamer_id <> '' AND bought.refunded_at IS NULL
  AND ($category = '' OR EXISTS { (product)-[:IN]->(:Category {id: $category}) })
WITH buyer.index AS user, CASE bought.streamer_id WHEN $first THEN 0 WHEN $second THEN 1 ELSE 2 END AS streamer,
     bought.amount AS amount
WHERE user IS NOT NULL AND amount IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer, collect(amount) AS amount
