// Releases older than the newest `keep` ones that are not active: their slates can go.
// mode: read
// params: keep
// columns: release_id
MATCH (r:Release)
WITH r ORDER BY r.created_at DESC, r.id DESC
SKIP $keep
WITH r
WHERE NOT EXISTS { MATCH (:ActivePointer)-[:ACTIVE]->(r) }
RETURN r.id AS release_id
