// Up to which day a user was erased. No row for one who never was.
// mode: read
// params: user_hash
// columns: until
MATCH (t:Tombstone {user_hash: $user_hash})
RETURN t.until AS until
