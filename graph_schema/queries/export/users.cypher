// Ids of the users whose dense index lies in a range, as one record.
// mode: read
// params: start, stop
// columns: indexes, ids
CYPHER 25
MATCH (n:User)
USING INDEX n:User(index)
WHERE n.index >= $start AND n.index < $stop
WITH n.index AS index, n.id AS id
WHERE index IS NOT NULL AND id IS NOT NULL
WITH collect(index) AS indexes, collect(id) AS ids
RETURN
  [i IN range(0, size(indexes) - 1, 4096) WHERE i < size(indexes) |
    vector(indexes[i..i + 4096], size(indexes[i..i + 4096]), INTEGER32)] AS indexes, ids
