// Replaces the records of products and their categories; the latest wins, and of two at one moment the greater event_id.
// mode: write
// params: batch
// columns: num_rows
UNWIND $batch.rows AS row
MATCH (p:Product {id: row.id})
WITH row, p, datetime({epochMillis: row.at}) AS at
CALL (row, p, at) {
  WITH row, p, at
  WHERE p.record_at IS NULL OR p.record_at < at OR (p.record_at = at AND p.record_event_id < row.event_id)
  SET p.name = row.name, p.price = row.price, p.in_stock = row.in_stock, p.hidden = row.hidden,
      p.expires_at = CASE WHEN row.expires_at IS NOT NULL THEN datetime({epochMillis: row.expires_at}) END,
      p.record_at = at, p.record_event_id = row.event_id
  WITH row, p
  OPTIONAL MATCH (p)-[old:IN]->(:Category)
  DELETE old
  WITH DISTINCT row, p
  UNWIND row.categories AS category_id
  MERGE (c:Category {id: category_id})
  MERGE (p)-[:IN]->(c)
}
RETURN count(*) AS num_rows
