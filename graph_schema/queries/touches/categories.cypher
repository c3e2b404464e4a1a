// All products' dense indexes, and the first of each one's categories by id, '' for none: one record of lists.
// mode: read
// params: -
// columns: index, category
MATCH (p:Product)
WHERE p.index >= 0
CALL (p) {
  OPTIONAL MATCH (p)-[:IN]->(c:Category)
  RETURN coalesce(min(c.id), '') AS category
}
WITH p.index AS index, category
WHERE index IS NOT NULL
RETURN collect(index) AS index, collect(category) AS category
