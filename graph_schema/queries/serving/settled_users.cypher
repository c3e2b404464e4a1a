// Those of a range of users for whom a release's slate is enough, and those whose taste may be newer than it.
// `clean` did nothing since the release that its snapshot lacks, dismissed nothing, were shown nothing lately and
// have a slate. `seqs` are the last batches of each shard that the snapshot holds, `since_ms` is when it was made.
// mode: read
// params: asked
// columns: clean, tastes
MATCH (u:User)
WHERE u.index >= $asked.start AND u.index < $asked.stop
WITH u, (
  EXISTS { MATCH (u)-[b:BOUGHT]->() WHERE b.seq > coalesce($asked.seqs[b.shard], -1) }
  OR EXISTS { MATCH (u)-[b:BOUGHT]->() WHERE b.refunded_at.epochMillis >= $asked.since_ms }
  OR EXISTS { MATCH (u)-[f:FOLLOWS|UNFOLLOWED]->() WHERE f.at.epochMillis >= $asked.since_ms }
  OR EXISTS { MATCH (u)-[v:VIEWED|CARTED|WATCHED]->() WHERE v.last_at.epochMillis >= $asked.since_ms }
) AS has_new_taste
WITH u, has_new_taste, NOT has_new_taste
  AND NOT EXISTS { (u)-[:DISMISSED]->() }
  AND NOT EXISTS { MATCH (u)-[i:IMPRESSED]->() WHERE i.day >= $asked.shown_since }
  AND EXISTS { (u)-[:HAS_SLATE]->(:Slate {release_id: $asked.release_id}) } AS is_clean
RETURN collect(CASE WHEN is_clean THEN u.id END) AS clean, collect(CASE WHEN has_new_taste THEN u.id END) AS tastes
