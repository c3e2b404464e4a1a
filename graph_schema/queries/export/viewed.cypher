// How often a range of users viewed each product on each UTC day, summed over streams, as one record of lists.
// mode: read
// params: start, stop, since_ms, until_ms
// columns: users, products, counts, day_ms
MATCH (u:User)-[v:VIEWED]->(p:Product)
WHERE u.index >= $start AND u.index < $stop
  AND ($since_ms IS NULL OR v.last_at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR v.first_at.epochMillis < $until_ms)
WITH u.index AS user, p.index AS product, v.day AS day, sum(v.count) AS total
RETURN collect(user) AS users, collect(product) AS products, collect(total) AS counts,
  collect(datetime({date: day, timezone: 'Z'}).epochMillis) AS day_ms
