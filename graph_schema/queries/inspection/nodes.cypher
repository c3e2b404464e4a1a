// The releases that have a node, with when it was last written to.
// mode: read
// params: -
// columns: release_id, is_complete, is_collected, is_shown, since_ms
MATCH (r:Release)
RETURN r.id AS release_id, r.is_complete AS is_complete, r.collected_from_at IS NOT NULL AS is_collected,
  EXISTS { (:ActivePointer)-[:ACTIVE]->(r) } AS is_shown,
  coalesce(r.written_at, r.completed_at, r.created_at).epochMillis AS since_ms
