// Of the given products, those that are not in the graph.
// mode: read
// params: batch
// columns: ids
UNWIND $batch.ids AS id
OPTIONAL MATCH (n:Product {id: id})
WITH id, n
WHERE n IS NULL
RETURN collect(id) AS ids
