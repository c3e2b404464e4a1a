// Record a release before its slates are written; again, and it says how far it came. The one that it is to
// replace is kept from the first time on, unless a new one is given.
// mode: write
// params: batch
// columns: was_active, is_collected, replaces, users, products, streamers
MERGE (r:Release {id: $batch.release_id})
ON CREATE SET r.model = $batch.model, r.created_at = datetime({epochMillis: $batch.created_at_ms}),
  r.is_complete = false, r.num_slates = 0,
  r.num_users_written = 0, r.num_products_written = 0, r.num_streamers_written = 0
SET r.written_at = datetime(), r.replaces = coalesce($batch.replaces, r.replaces, $batch.active)
RETURN r.promoted_at IS NOT NULL AS was_active, r.collected_from_at IS NOT NULL AS is_collected, r.replaces AS replaces,
  r.num_users_written AS users, r.num_products_written AS products, r.num_streamers_written AS streamers
