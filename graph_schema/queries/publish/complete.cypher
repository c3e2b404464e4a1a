// Record that a release is whole: one row if it is, none if something of it is missing or it is being collected.
// mode: write
// params: batch
// columns: release_id
MATCH (r:Release {id: $batch.release_id})
SET r.written_at = datetime()
WITH r
WHERE r.collected_from_at IS NULL AND r.num_users_written >= $batch.users
  AND r.num_products_written >= $batch.products AND r.num_streamers_written >= $batch.streamers
SET r.is_complete = true, r.completed_at = coalesce(r.completed_at, datetime())
RETURN r.id AS release_id
