// Deletes refunds before a day whose purchase is not in the graph; `dry_run` only counts.
// mode: write
// params: horizon, limit, dry_run
// columns: num_found
MATCH (refund:Refund)
WHERE date(refund.at) < $horizon
  AND NOT EXISTS { ()-[:BOUGHT {event_id: refund.purchase_event_id}]->() }
WITH refund LIMIT $limit
FOREACH (_ IN CASE WHEN $dry_run THEN [] ELSE [1] END | DELETE refund)
RETURN count(*) AS num_found
