// Purchases of a range of users within the scope, up to the snapshot's position, refunds left out:
// one record of lists of vectors, since a row per edge is ten times slower.
// mode: read
// params: start, stop, since_ms, until_ms, streamers, least_seq, seqs
// columns: users, products, at_ms
CYPHER 25
MATCH (u:User)-[b:BOUGHT]->(p:Product)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop
  AND b.refunded_at IS NULL
  AND (b.seq <= $least_seq OR b.seq <= $seqs[b.shard])
  AND ($since_ms IS NULL OR b.at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR b.at.epochMillis < $until_ms)
  AND ($streamers IS NULL OR b.streamer_id IN $streamers
       OR EXISTS { MATCH (s:Streamer)-[:SELLS]->(p) WHERE s.id IN $streamers })
WITH u.index AS user, p.index AS product, b.at.epochMillis AS at
WHERE user IS NOT NULL AND product IS NOT NULL AND at IS NOT NULL
WITH collect(user) AS users, collect(product) AS products, collect(at) AS at_ms
RETURN
  [i IN range(0, size(users) - 1, 4096) WHERE i < size(users) |
    vector(users[i..i + 4096], size(users[i..i + 4096]), INTEGER32)] AS users,
  [i IN range(0, size(products) - 1, 4096) WHERE i < size(products) |
    vector(products[i..i + 4096], size(products[i..i + 4096]), INTEGER32)] AS products,
  [i IN range(0, size(at_ms) - 1, 4096) WHERE i < size(at_ms) |
    vector(at_ms[i..i + 4096], size(at_ms[i..i + 4096]), INTEGER64)] AS at_ms
