// Show a challenger to a share of the users: one row if it is shown, none if not. Only a whole release beside the
// champion that the experiment is against, and while no other experiment runs; the same one again changes nothing.
// The counters write-lock the pointer, so that two beginnings follow each other, and the release, so that it is not
// collected meanwhile.
// mode: write
// params: experiment_id, champion_id, challenger_id, share
// columns: challenger_id
MERGE (c:ActivePointer {name: 'challenger'})
SET c.num_flips = coalesce(c.num_flips, 0) + 1
WITH c
OPTIONAL MATCH (c)-[:ACTIVE]->(shown:Release)
WITH c, shown
WHERE shown IS NULL OR (c.experiment_id = $experiment_id AND shown.id = $challenger_id)
MATCH (:ActivePointer {name: 'active'})-[:ACTIVE]->(champion:Release {id: $champion_id})
MATCH (new:Release {id: $challenger_id})
SET new.num_flips = coalesce(new.num_flips, 0) + 1
WITH c, champion, new
WHERE new <> champion AND new.is_complete AND new.collected_from_at IS NULL
SET c.experiment_id = $experiment_id, c.share = $share
MERGE (c)-[active:ACTIVE]->(new)
ON CREATE SET active.at = datetime()
RETURN new.id AS challenger_id
