// A release's vectors of streamers, as one record of lists.
// mode: read
// params: release_id
// columns: streamer_id, vector
MATCH (v:Vector)
WHERE v.release_id = $release_id AND v.kind = 'streamer' AND v.item_id IS NOT NULL
WITH v.item_id AS streamer_id, v.values AS vector
WHERE streamer_id IS NOT NULL AND vector IS NOT NULL
RETURN collect(streamer_id) AS streamer_id, collect(vector) AS vector
