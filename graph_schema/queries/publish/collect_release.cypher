// Delete a release's node once its slates and vectors are gone.
// mode: write
// params: release_id
// columns: -
MATCH (r:Release {id: $release_id})
DETACH DELETE r
