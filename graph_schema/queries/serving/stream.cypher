// A stream with what it showcased, the latest first; no row for an unknown one.
// mode: read
// params: asked
// columns: streamer_id, ended_ms, product_ids
MATCH (stream:Stream {id: $asked.stream_id})
WITH stream,
  COLLECT { MATCH (s:Streamer)-[:HOSTED]->(stream) RETURN s.id LIMIT 1 } AS hosts,
  COLLECT {
    MATCH (stream)-[s:SHOWCASED]->(p:Product)
    WITH p, s.last_at AS at ORDER BY at DESC, p.id LIMIT 1000
    RETURN p.id
  } AS product_ids
RETURN coalesce(head(hosts), '') AS streamer_id, coalesce(stream.ended_at.epochMillis, -1) AS ended_ms, product_ids
