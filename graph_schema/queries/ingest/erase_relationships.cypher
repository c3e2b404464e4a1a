// Deletes what users did up to a day, and takes back refunds up to it.
// mode: write
// params: batch
// columns: -
UNWIND $batch.rows AS row
MATCH (u:User {id: row.user_id})-[r:BOUGHT|FOLLOWS|UNFOLLOWED|WATCHED|ENGAGED|VIEWED|CARTED|IMPRESSED|DISMISSED]->()
FOREACH (_ IN CASE WHEN date(r.refunded_at) <= row.until THEN [1] ELSE [] END | REMOVE r.refunded_at)
FOREACH (_ IN CASE WHEN coalesce(r.day, date(r.at)) <= row.until THEN [1] ELSE [] END | DELETE r)
