// Record a release before its slates are written; writing it again changes nothing.
// mode: write
// params: release_id, model, created_at_ms
// columns: -
MERGE (r:Release {id: $release_id})
ON CREATE SET r.model = $model, r.created_at = datetime({epochMillis: $created_at_ms})
