// What a range of streamers sells, with how often and from when to when it was offered: one record of lists of vectors.
// mode: read
// params: start, stop, streamers
// columns: streamers, products, counts, first_at_ms, last_at_ms
CYPHER 25
MATCH (s:Streamer)-[r:SELLS]->(p:Product)
USING INDEX s:Streamer(index)
WHERE s.index >= $start AND s.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
WITH s.index AS streamer, p.index AS product, r.count AS count,
  r.first_at.epochMillis AS first_at, r.last_at.epochMillis AS last_at
WHERE streamer IS NOT NULL AND product IS NOT NULL AND count IS NOT NULL
  AND first_at IS NOT NULL AND last_at IS NOT NULL
WITH collect(streamer) AS streamers, collect(product) AS products, collect(count) AS counts,
  collect(first_at) AS first_at_ms, collect(last_at) AS last_at_ms
RETURN
  [i IN range(0, size(streamers) - 1, 4096) WHERE i < size(streamers) |
    vector(streamers[i..i + 4096], size(streamers[i..i + 4096]), INTEGER32)] AS streamers,
  [i IN range(0, size(products) - 1, 4096) WHERE i < size(products) |
    vector(products[i..i + 4096], size(products[i..i + 4096]), INTEGER32)] AS products,
  [i IN range(0, size(counts) - 1, 4096) WHERE i < size(counts) |
    vector(counts[i..i + 4096], size(counts[i..i + 4096]), INTEGER64)] AS counts,
  [i IN range(0, size(first_at_ms) - 1, 4096) WHERE i < size(first_at_ms) |
    vector(first_at_ms[i..i + 4096], size(first_at_ms[i..i + 4096]), INTEGER64)] AS first_at_ms,
  [i IN range(0, size(last_at_ms) - 1, 4096) WHERE i < size(last_at_ms) |
    vector(last_at_ms[i..i + 4096], size(last_at_ms[i..i + 4096]), INTEGER64)] AS last_at_ms
