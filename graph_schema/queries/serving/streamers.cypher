// All streamers, those with most followers first, and how many follow each: one record of two lists.
// mode: read
// params: -
// columns: streamer_ids, num_followers
MATCH (s:Streamer)
WITH s.id AS streamer_id, COUNT { (s)<-[:FOLLOWS]-() } AS num
WHERE streamer_id IS NOT NULL
WITH streamer_id, num
ORDER BY num DESC, streamer_id
RETURN collect(streamer_id) AS streamer_ids, collect(num) AS num_followers
