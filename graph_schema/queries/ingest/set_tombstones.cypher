// Keeps which users erased their data and up to which day; the latest day wins.
// mode: write
// params: batch
// columns: num_rows
UNWIND $batch.rows AS row
MERGE (t:Tombstone {user_hash: row.user_hash})
SET t.until = CASE WHEN t.until >= row.until THEN t.until ELSE row.until END
RETURN count(*) AS num_rows
