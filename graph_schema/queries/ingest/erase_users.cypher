// Deletes the records of users up to a day, and the users of whom nothing newer is left.
// mode: write
// params: batch
// columns: -
UNWIND $batch.rows AS row
MATCH (u:User {id: row.user_id})
FOREACH (_ IN CASE WHEN date(u.record_at) <= row.until THEN [1] ELSE [] END |
  REMOVE u.name, u.record_at, u.record_event_id)
FOREACH (_ IN CASE WHEN u.record_at IS NULL AND NOT EXISTS { (u)--() } THEN [1] ELSE [] END | DELETE u)
