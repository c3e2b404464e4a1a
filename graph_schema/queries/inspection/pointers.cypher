// What the pointers show, a row for each relationship, the newest first: there must be one at most of a name.
// mode: read
// params: -
// columns: name, release_id, experiment_id, is_complete, is_collected
MATCH (a:ActivePointer)
OPTIONAL MATCH (a)-[active:ACTIVE]->(r:Release)
RETURN a.name AS name, r.id AS release_id, a.experiment_id AS experiment_id, r.is_complete AS is_complete,
  r.collected_from_at IS NOT NULL AS is_collected
ORDER BY name, active.at DESC
