// Delete the node of a release that is being collected, once its slates and vectors are gone.
// mode: write
// params: release_id
// columns: -
MATCH (r:Release {id: $release_id})
WHERE r.collected_from_at IS NOT NULL
DETACH DELETE r
