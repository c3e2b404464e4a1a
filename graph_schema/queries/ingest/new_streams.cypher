// Of the given streams, those that are not in the graph.
// mode: read
// params: ids
// columns: id
UNWIND $ids AS id
OPTIONAL MATCH (n:Stream {id: id})
WITH id, n
WHERE n IS NULL
RETURN id
