// Delete some slates of a release that is being collected; the number deleted tells when to stop.
// mode: write
// params: release_id, limit
// columns: num_deleted
MATCH (r:Release {id: $release_id})
SET r.written_at = datetime()
WITH r
WHERE r.collected_from_at IS NOT NULL
MATCH (s:Slate)
WHERE s.release_id = r.id AND s.user_id IS NOT NULL
WITH s LIMIT $limit
DETACH DELETE s
RETURN count(*) AS num_deleted
