// Write the vectors of some products, and in the same transaction that they are written: no row if they are
// already, or the release is being collected.
// mode: write
// params: batch
// columns: num_written
MATCH (r:Release {id: $batch.release_id})
SET r.written_at = datetime()
WITH r
WHERE r.num_products_written = $batch.start AND r.collected_from_at IS NULL
CALL (r) {
  UNWIND $batch.rows AS row
  CREATE (:Vector {release_id: $batch.release_id, kind: 'product', item_id: row[0], values: row[1]})
  RETURN count(*) AS num_written
}
SET r.num_products_written = $batch.stop
RETURN num_written
