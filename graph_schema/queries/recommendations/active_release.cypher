// The release that the pointer shows: the only truth about what is active. No row before the first one.
// mode: read
// params: -
// columns: release_id
MATCH (:ActivePointer {name: 'active'})-[:ACTIVE]->(release:Release)
RETURN release.id AS release_id
