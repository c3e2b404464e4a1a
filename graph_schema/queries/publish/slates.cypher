// Write the slates of some users; a restart writes the same again. Passed over are users who are gone, and
// those whose erasure may be newer than the release's snapshot: that was made up to a day before the release.
// mode: write
// params: release_id, rows
// columns: -
MATCH (r:Release {id: $release_id})
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
WHERE NOT EXISTS {
  MATCH (t:Tombstone {user_hash: row.user_hash})
  WHERE t.until >= date(r.created_at) - duration('P1D')
}
MERGE (s:Slate {release_id: $release_id, user_id: row.user_id})
SET s.product_ids = row.product_ids, s.scores = row.scores
MERGE (u)-[:HAS_SLATE]->(s)
