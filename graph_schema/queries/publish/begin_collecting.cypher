// Record that a release is being collected, unless a pointer shows it: a row if it is. From then on it cannot
// become active. The counter write-locks it, so that this and a flip follow each other.
// mode: write
// params: release_id
// columns: release_id
MATCH (r:Release {id: $release_id})
SET r.num_flips = coalesce(r.num_flips, 0) + 1
WITH r
WHERE NOT EXISTS { (:ActivePointer)-[:ACTIVE]->(r) }
SET r.collected_from_at = coalesce(r.collected_from_at, datetime())
RETURN r.id AS release_id
