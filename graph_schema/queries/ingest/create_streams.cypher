// Creates those of the given streams that are not in the graph.
// mode: write
// params: batch
// columns: -
UNWIND $batch.ids AS id
OPTIONAL MATCH (n:Stream {id: id})
WITH id, n
WHERE n IS NULL
CREATE (:Stream {id: id})
