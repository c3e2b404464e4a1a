// Deletes streams that ended before a day, or began before it and never ended, and of which nothing newer is
// left; `dry_run` only counts. An ingester may be about to use one: each is locked, by a
// property that never changes, and then looked at anew.
// mode: write
// params: horizon, limit, dry_run
// columns: num_found
MATCH (found:Stream)
WHERE coalesce(date(coalesce(found.ended_at, found.started_at)) < $horizon, true)
  AND NOT EXISTS { (found)-[:HAS_MINUTE]->(m) WHERE date(m.at) >= $horizon }
  AND NOT EXISTS { (found)-[s:SHOWCASED]->() WHERE date(s.last_at) >= $horizon }
WITH found LIMIT $limit
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | SET found.id = found.id)
WITH collect(found.id) AS ids
UNWIND ids AS id
MATCH (t:Stream {id: id})
WHERE coalesce(date(coalesce(t.ended_at, t.started_at)) < $horizon, true)
  AND NOT EXISTS { (t)-[:HAS_MINUTE]->(m) WHERE date(m.at) >= $horizon }
  AND NOT EXISTS { (t)-[s:SHOWCASED]->() WHERE date(s.last_at) >= $horizon }
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | DETACH DELETE t)
RETURN count(*) AS num_found
