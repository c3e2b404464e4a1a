// Ids of the users whose dense index lies in a range, as one record.
// mode: read
// params: start, stop
// columns: indexes, ids
MATCH (n:User)
WHERE n.index >= $start AND n.index < $stop
RETURN collect(n.index) AS indexes, collect(n.id) AS ids
