// Users whose erasure may be newer than a release's snapshot: that was made up to a day before the release.
// mode: read
// params: created_at_ms
// columns: user_hash
MATCH (t:Tombstone)
WHERE t.until >= date(datetime({epochMillis: $created_at_ms})) - duration('P1D')
RETURN t.user_hash AS user_hash
