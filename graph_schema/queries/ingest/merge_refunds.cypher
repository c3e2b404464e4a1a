// Keeps refunds, of which the latest of a purchase stays, and joins them to purchases in the graph.
// mode: write
// params: batch
// columns: num_rows
UNWIND $batch.rows AS row
MERGE (refund:Refund {purchase_event_id: row.purchase_event_id})
WITH row, refund, datetime({epochMillis: row.at}) AS at
FOREACH (_ IN CASE WHEN refund.at > at OR (refund.at = at AND refund.user_id >= row.user_id) THEN [] ELSE [1] END |
  SET refund.at = at, refund.user_id = row.user_id)
WITH row, refund
OPTIONAL MATCH ()-[b:BOUGHT {event_id: row.purchase_event_id}]->()
SET b.refunded_at = refund.at
RETURN count(*) AS num_rows
