// The releases that are in the graph, or were begun or are being collected, the last one that was whole first.
// One of before there was a mark for it has none: `is_complete` is null.
// mode: read
// params: -
// columns: release_id, is_complete, is_collected, is_shown, num_users_written, num_slates, since_ms, written_at_ms
MATCH (r:Release)
RETURN r.id AS release_id, r.is_complete AS is_complete,
  r.collected_from_at IS NOT NULL AS is_collected, EXISTS { (:ActivePointer)-[:ACTIVE]->(r) } AS is_shown,
  coalesce(r.num_users_written, 0) AS num_users_written, coalesce(r.num_slates, 0) AS num_slates,
  coalesce(r.completed_at, r.created_at).epochMillis AS since_ms, r.written_at.epochMillis AS written_at_ms
ORDER BY since_ms DESC, release_id DESC
