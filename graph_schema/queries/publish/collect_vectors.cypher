// Delete some vectors of a release; the number deleted tells when to stop.
// mode: write
// params: release_id, limit
// columns: num_deleted
MATCH (v:Vector {release_id: $release_id})
WITH v LIMIT $limit
DETACH DELETE v
RETURN count(*) AS num_deleted
