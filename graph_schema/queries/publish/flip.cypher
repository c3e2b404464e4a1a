// Make a whole release the active one if the active one is still the expected one ('' for none): one row if it
// was flipped, none if not. The counters write-lock the pointer, so that two flips follow each other, and the
// release, so that it is not collected meanwhile. The pointer keeps which were active before, the last one
// first: a rollback takes from these, whatever else puts the replaced one before them.
// mode: write
// params: release_id, expected, is_rollback
// columns: release_id
MERGE (a:ActivePointer {name: 'active'})
SET a.num_flips = coalesce(a.num_flips, 0) + 1
WITH a
OPTIONAL MATCH (a)-[old:ACTIVE]->(current:Release)
WITH a, old, coalesce(current.id, '') AS current_id
WHERE current_id = $expected
MATCH (new:Release {id: $release_id})
SET new.num_flips = coalesce(new.num_flips, 0) + 1
WITH a, old, current_id, new
WHERE new.is_complete AND new.collected_from_at IS NULL
WITH a, old, current_id, new, coalesce(a.previous_ids, []) AS previous
WITH a, old, current_id, new, previous,
  coalesce([i IN range(0, size(previous) - 1) WHERE previous[i] = new.id][0], -1) AS place
SET new.promoted_at = datetime(), a.previous_ids = CASE WHEN $is_rollback THEN previous[place + 1..]
  ELSE ([id IN [current_id] WHERE id <> ''] + [id IN previous WHERE NOT id IN [current_id, new.id]])[..20] END
DELETE old
CREATE (a)-[:ACTIVE {at: datetime()}]->(new)
RETURN new.id AS release_id
