// Of the given users, those that are not in the graph any more.
// mode: read
// params: batch
// columns: ids
UNWIND $batch.ids AS id
OPTIONAL MATCH (n:User {id: id})
WITH id, n
WHERE n IS NULL
RETURN collect(id) AS ids
