// How many slates and vectors there are of some releases, each counted up to a limit.
// mode: read
// params: release_ids, limit
// columns: release_id, slates, vectors
UNWIND $release_ids AS release_id
CALL (release_id) {
  MATCH (s:Slate)
  WHERE s.release_id = release_id AND s.user_id IS NOT NULL
  WITH s LIMIT $limit
  RETURN count(*) AS slates
}
CALL (release_id) {
  MATCH (v:Vector)
  WHERE v.release_id = release_id AND v.kind IN ['product', 'streamer'] AND v.item_id IS NOT NULL
  WITH v LIMIT $limit
  RETURN count(*) AS vectors
}
RETURN release_id, slates, vectors
