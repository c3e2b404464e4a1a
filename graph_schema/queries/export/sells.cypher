// What a range of streamers sells, with how often and from when to when it was offered: one record of five lists.
// mode: read
// params: start, stop, streamers
// columns: streamers, products, counts, first_at_ms, last_at_ms
MATCH (s:Streamer)-[r:SELLS]->(p:Product)
WHERE s.index >= $start AND s.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
RETURN collect(s.index) AS streamers, collect(p.index) AS products, collect(r.count) AS counts,
  collect(r.first_at.epochMillis) AS first_at_ms, collect(r.last_at.epochMillis) AS last_at_ms
