// Of the given users, those that are not in the graph or erased their data before.
// mode: read
// params: rows
// columns: id, is_known, erased_until
UNWIND $rows AS row
OPTIONAL MATCH (u:User {id: row.id})
OPTIONAL MATCH (t:Tombstone {user_hash: row.user_hash})
WITH row, u, t
WHERE u IS NULL OR t IS NOT NULL
RETURN row.id AS id, u IS NOT NULL AS is_known, t.until AS erased_until
