// Deletes some streamers of whom nothing is left and whose record, if any, is of before a day; `dry_run` only counts.
// A purchase names its streamer by id, without a relationship. Its time is asked for, as it always has one, because
// an index of both is used only where both are.
// An ingester may be about to use one: each is locked, by a property
// that never changes, and then looked at anew.
// mode: write
// params: start, stop, horizon, limit, dry_run
// columns: num_found
MATCH (found:Streamer)
WHERE found.index >= $start AND found.index < $stop
  AND coalesce(date(found.record_at) < $horizon, true) AND NOT EXISTS { (found)--() }
  AND NOT EXISTS { ()-[b:BOUGHT]->() WHERE b.streamer_id = found.id AND b.at IS NOT NULL }
WITH found LIMIT $limit
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | SET found.index = found.index)
WITH collect(found.id) AS ids
UNWIND ids AS id
MATCH (n:Streamer {id: id})
WHERE coalesce(date(n.record_at) < $horizon, true) AND NOT EXISTS { (n)--() }
  AND NOT EXISTS { ()-[b:BOUGHT]->() WHERE b.streamer_id = n.id AND b.at IS NOT NULL }
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | DELETE n)
RETURN count(*) AS num_found
