// What a range of streamers sells, with how often it was showcased, as one record of three lists.
// mode: read
// params: start, stop, streamers
// columns: streamers, products, counts
MATCH (s:Streamer)-[r:SELLS]->(p:Product)
WHERE s.index >= $start AND s.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
RETURN collect(s.index) AS streamers, collect(p.index) AS products, collect(r.count) AS counts
