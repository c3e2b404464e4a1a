// Delete some vectors of a release that is being collected; the number deleted tells when to stop.
// mode: write
// params: release_id, limit
// columns: num_deleted
MATCH (r:Release {id: $release_id})
SET r.written_at = datetime()
WITH r
WHERE r.collected_from_at IS NOT NULL
MATCH (v:Vector)
WHERE v.release_id = r.id AND v.kind IN ['product', 'streamer'] AND v.item_id IS NOT NULL
WITH v LIMIT $limit
DETACH DELETE v
RETURN count(*) AS num_deleted
