// How many users erased their data: a count that the database keeps.
// mode: read
// params: -
// columns: num
MATCH (t:Tombstone)
RETURN count(t) AS num
