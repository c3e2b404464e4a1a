// Ids of the products whose dense index lies in a range and that belong to the scope, as one record.
// mode: read
// params: start, stop, categories
// columns: indexes, ids
MATCH (n:Product)
WHERE n.index >= $start AND n.index < $stop
  AND ($categories IS NULL OR EXISTS { MATCH (n)-[:IN]->(c:Category) WHERE c.id IN $categories })
RETURN collect(n.index) AS indexes, collect(n.id) AS ids
