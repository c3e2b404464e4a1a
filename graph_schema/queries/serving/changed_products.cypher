// What `serving/products` says, of some products by id; those that are gone are left out.
// mode: read
// params: asked
// columns: ids, faults, expires_ms, categories, sellers
UNWIND $asked.ids AS id
MATCH (p:Product {id: id})
WITH p, COLLECT { MATCH (p)-[:IN]->(c:Category) RETURN c.id } AS in_categories,
  COLLECT { MATCH (s:Streamer)-[:SELLS]->(p) RETURN s.id } AS sold_by,
  CASE WHEN coalesce(p.hidden, false) THEN 1 ELSE 0 END
    + CASE WHEN coalesce(p.in_stock, true) THEN 0 ELSE 2 END AS fault
RETURN collect(p.id) AS ids, collect(fault) AS faults, collect(coalesce(p.expires_at.epochMillis, -1)) AS expires_ms,
  collect(in_categories) AS categories, collect(sold_by) AS sellers
