// A release's vectors of streamers, as one record of lists.
// mode: read
// params: release_id
// columns: streamer_id, vector
MATCH (v:Vector)
WHERE v.release_id = $release_id AND v.kind = 'streamer' AND v.item_id IS NOT NULL
RETURN collect(v.item_id) AS streamer_id, collect(v.values) AS vector
