// What a stream showcased, the latest first; no row for an unknown one.
// mode: read
// params: asked
// columns: product_ids
MATCH (stream:Stream {id: $asked.stream_id})
WITH COLLECT {
    MATCH (stream)-[s:SHOWCASED]->(p:Product)
    WITH p, s.last_at AS at ORDER BY at DESC, p.id LIMIT 1000
    RETURN p.id
  } AS product_ids
RETURN product_ids
