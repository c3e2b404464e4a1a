// What `serving/products` says, of some products by id; those that are gone are left out.
// mode: read
// params: asked
// columns: ids, faults, expires_ms, categories, sellers
UNWIND $asked.ids AS id
MATCH (p:Product {id: id})
WITH p.id AS id,
  COLLECT { MATCH (p)-[:IN]->(c:Category) WITH c.id AS category WHERE category IS NOT NULL RETURN category } AS held_by,
  COLLECT { MATCH (s:Streamer)-[:SELLS]->(p) WITH s.id AS seller WHERE seller IS NOT NULL RETURN seller } AS sold_by,
  coalesce(p.expires_at.epochMillis, -1) AS expires_ms,
  CASE WHEN coalesce(p.hidden, false) THEN 1 ELSE 0 END
    + CASE WHEN coalesce(p.in_stock, true) THEN 0 ELSE 2 END AS fault
WHERE id IS NOT NULL
RETURN collect(id) AS ids, collect(fault) AS faults, collect(expires_ms) AS expires_ms, collect(held_by) AS categories,
  collect(sold_by) AS sellers
