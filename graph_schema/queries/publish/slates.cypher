// Write the slates of some users, and in the same transaction that they are written: no row if they are already,
// or the release is being collected. The first SET write-locks the release, so that two writers follow each
// other. Passed over are users who are gone. Parameters come as one map, as a plan is made for each size of list.
// mode: write
// params: batch
// columns: num_written
MATCH (r:Release {id: $batch.release_id})
SET r.written_at = datetime()
WITH r
WHERE r.num_users_written = $batch.start AND r.collected_from_at IS NULL
CALL (r) {
  UNWIND $batch.rows AS row
  MATCH (u:User {id: row[0]})
  CREATE (u)-[:HAS_SLATE]->(:Slate {
    release_id: $batch.release_id, user_id: row[0], product_ids: row[1], scores: row[2]})
  RETURN count(*) AS num_written
}
SET r.num_users_written = $batch.stop, r.num_slates = r.num_slates + num_written
RETURN num_written
