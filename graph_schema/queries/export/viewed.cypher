// How often a range of users viewed each product, summed over streams and days, as one record of lists.
// mode: read
// params: start, stop, since_ms, until_ms
// columns: users, products, counts
MATCH (u:User)-[v:VIEWED]->(p:Product)
WHERE u.index >= $start AND u.index < $stop
  AND ($since_ms IS NULL OR v.last_at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR v.first_at.epochMillis < $until_ms)
WITH u.index AS user, p.index AS product, sum(v.count) AS total
RETURN collect(user) AS users, collect(product) AS products, collect(total) AS counts
