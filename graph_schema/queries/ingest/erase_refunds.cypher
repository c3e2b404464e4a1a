// Deletes the refunds of users up to a day.
// mode: write
// params: batch
// columns: -
UNWIND $batch.rows AS row
MATCH (refund:Refund {user_id: row.user_id})
WHERE date(refund.at) <= row.until
DELETE refund
