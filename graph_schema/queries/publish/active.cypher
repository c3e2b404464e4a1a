// The active release's id; no row when nothing was published yet.
// mode: read
// params: -
// columns: release_id
MATCH (:ActivePointer {name: 'active'})-[:ACTIVE]->(r:Release)
RETURN r.id AS release_id
