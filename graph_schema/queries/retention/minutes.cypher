// Deletes the minutes of streams before a day; `dry_run` only counts.
// mode: write
// params: horizon, limit, dry_run
// columns: num_found
MATCH (m:Minute)
WHERE date(m.at) < $horizon
WITH m LIMIT $limit
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | DETACH DELETE m)
RETURN count(*) AS num_found
