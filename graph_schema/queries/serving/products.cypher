// What may be shown of a range of products, and what they belong to, as one record of lists: `faults` is 1 for a
// hidden one, plus 2 for one out of stock; `expires_ms` is −1 for never.
// mode: read
// params: start, stop
// columns: ids, faults, expires_ms, categories, sellers
MATCH (p:Product)
WHERE p.index >= $start AND p.index < $stop
WITH p, COLLECT { MATCH (p)-[:IN]->(c:Category) RETURN c.id } AS in_categories,
  COLLECT { MATCH (s:Streamer)-[:SELLS]->(p) RETURN s.id } AS sold_by,
  CASE WHEN coalesce(p.hidden, false) THEN 1 ELSE 0 END
    + CASE WHEN coalesce(p.in_stock, true) THEN 0 ELSE 2 END AS fault
RETURN collect(p.id) AS ids, collect(fault) AS faults, collect(coalesce(p.expires_at.epochMillis, -1)) AS expires_ms,
  collect(in_categories) AS categories, collect(sold_by) AS sellers
