// Deletes what some users did before a day, and the refunds of those purchases; `dry_run` only counts.
// Follows and dismissals are states and stay.
// mode: write
// params: start, stop, horizon, limit, dry_run
// columns: num_found
MATCH (u:User)
WHERE u.index >= $start AND u.index < $stop
MATCH (u)-[r:WATCHED|ENGAGED|VIEWED|CARTED|IMPRESSED|BOUGHT|UNFOLLOWED]->()
WHERE coalesce(r.day, date(r.at)) < $horizon
WITH r LIMIT $limit
OPTIONAL MATCH (refund:Refund {purchase_event_id: r.event_id})
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | DELETE r, refund)
RETURN count(*) AS num_found
