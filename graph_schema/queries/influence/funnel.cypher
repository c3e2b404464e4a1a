// A stream's funnel, minute by minute, within a window, from the minute after `after` on ([ms since the epoch], or
// null): who joined (counted once), and views, carts and purchases made in it, refunded ones too. Minutes in which
// nothing happened are left out.
// mode: read
// params: stream_id, since, until, after, limit
// columns: at, joined, views, carts, purchases
MATCH (:Stream {id: $stream_id})-[:HAS_MINUTE]->(minute:Minute)
WHERE minute.at >= $since AND minute.at < $until
  AND ($after IS NULL OR minute.at.epochMillis > $after[0])
  AND minute.num_joined + minute.num_views + minute.num_carts + minute.num_purchases > 0
RETURN toString(localdatetime(minute.at)) + 'Z' AS at, minute.num_joined AS joined, minute.num_views AS views,
       minute.num_carts AS carts, minute.num_purchases AS purchases
ORDER BY minute.at
LIMIT $limit
