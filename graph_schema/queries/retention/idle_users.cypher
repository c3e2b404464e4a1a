// Deletes some users of whom nothing is left and whose record, if any, is of before a day; `dry_run` only counts.
// An ingester may be about to use one: each is locked, by a property
// that never changes, and then looked at anew.
// mode: write
// params: start, stop, horizon, limit, dry_run
// columns: num_found
MATCH (found:User)
WHERE found.index >= $start AND found.index < $stop
  AND coalesce(date(found.record_at) < $horizon, true) AND NOT EXISTS { (found)--() }
WITH found LIMIT $limit
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | SET found.index = found.index)
WITH collect(found.id) AS ids
UNWIND ids AS id
MATCH (n:User {id: id})
WHERE coalesce(date(n.record_at) < $horizon, true) AND NOT EXISTS { (n)--() }
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | DELETE n)
RETURN count(*) AS num_found
