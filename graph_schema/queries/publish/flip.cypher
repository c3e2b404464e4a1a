// Make a release the active one if the active one is still the expected one ('' for none): one row if it
// was flipped, none if not. The counter write-locks the pointer, so that two flips follow each other.
// mode: write
// params: release_id, expected
// columns: release_id
MERGE (a:ActivePointer {name: 'active'})
SET a.num_flips = coalesce(a.num_flips, 0) + 1
WITH a
OPTIONAL MATCH (a)-[old:ACTIVE]->(current:Release)
WITH a, old, coalesce(current.id, '') AS current_id
WHERE current_id = $expected
MATCH (new:Release {id: $release_id})
DELETE old
CREATE (a)-[:ACTIVE {at: datetime()}]->(new)
RETURN new.id AS release_id
