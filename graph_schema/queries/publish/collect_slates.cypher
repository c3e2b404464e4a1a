// Delete some slates of a release; the number deleted tells when to stop.
// mode: write
// params: release_id, limit
// columns: num_deleted
MATCH (s:Slate {release_id: $release_id})
WITH s LIMIT $limit
DETACH DELETE s
RETURN count(*) AS num_deleted
