// How often a range of users viewed each product in each stream and UTC day, with a moment of that day:
// one record of lists of vectors. Summing by pair and day is faster where they are read.
// mode: read
// params: start, stop, since_ms, until_ms
// columns: users, products, counts, at_ms
CYPHER 25
MATCH (u:User)-[v:VIEWED]->(p:Product)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop
  AND ($since_ms IS NULL OR v.last_at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR v.first_at.epochMillis < $until_ms)
WITH u.index AS user, p.index AS product, v.count AS count, v.first_at.epochMillis AS at
WHERE user IS NOT NULL AND product IS NOT NULL AND count IS NOT NULL AND at IS NOT NULL
WITH collect(user) AS users, collect(product) AS products, collect(count) AS counts, collect(at) AS at_ms
RETURN
  [i IN range(0, size(users) - 1, 4096) WHERE i < size(users) |
    vector(users[i..i + 4096], size(users[i..i + 4096]), INTEGER32)] AS users,
  [i IN range(0, size(products) - 1, 4096) WHERE i < size(products) |
    vector(products[i..i + 4096], size(products[i..i + 4096]), INTEGER32)] AS products,
  [i IN range(0, size(counts) - 1, 4096) WHERE i < size(counts) |
    vector(counts[i..i + 4096], size(counts[i..i + 4096]), INTEGER64)] AS counts,
  [i IN range(0, size(at_ms) - 1, 4096) WHERE i < size(at_ms) |
    vector(at_ms[i..i + 4096], size(at_ms[i..i + 4096]), INTEGER64)] AS at_ms
