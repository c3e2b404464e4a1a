// Of the given users, by hash, those who erased their data, and the last erased day.
// mode: read
// params: batch
// columns: user_hash, until
UNWIND $batch.hashes AS hash
MATCH (t:Tombstone {user_hash: hash})
RETURN t.user_hash AS user_hash, t.until AS until
