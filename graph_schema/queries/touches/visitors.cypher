// Who watched a streamer, by when they began to on each day in each stream, within a window: one record.
// mode: read
// params: streamer_id, since, until
// columns: user
MATCH (:Streamer {id: $streamer_id})<-[w:WATCHED]-(u:User)
WHERE w.first_at >= $since AND w.first_at < $until
RETURN collect(DISTINCT u.index) AS user
