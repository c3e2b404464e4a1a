// Show the challenger of an experiment no more; no row if it is another one's by now, or nobody's.
// mode: write
// params: experiment_id
// columns: challenger_id
MATCH (c:ActivePointer {name: 'challenger'})
SET c.num_flips = coalesce(c.num_flips, 0) + 1
WITH c
WHERE c.experiment_id = $experiment_id
MATCH (c)-[old:ACTIVE]->(challenger:Release)
SET c.experiment_id = null, c.share = null
DELETE old
RETURN challenger.id AS challenger_id
