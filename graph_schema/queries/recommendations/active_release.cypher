// What the pointers show, the only truth about it: the active release and, while an experiment runs, its challenger.
// No row before the first release; of several active ones, which must not be, the newest comes first.
// mode: read
// params: -
// columns: release_id, challenger_id, experiment_id, share
MATCH (:ActivePointer {name: 'active'})-[active:ACTIVE]->(release:Release)
OPTIONAL MATCH (pointer:ActivePointer {name: 'challenger'})-[:ACTIVE]->(challenger:Release)
RETURN release.id AS release_id, challenger.id AS challenger_id, pointer.experiment_id AS experiment_id,
  pointer.share AS share
ORDER BY active.at DESC
