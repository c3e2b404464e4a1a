// Whom users of a range watched within a window, each once: one record of two lists.
// mode: read
// params: start, stop, since, until
// columns: user, streamer
MATCH (u:User)-[w:WATCHED]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND w.first_at >= $since AND w.first_at < $until
WITH DISTINCT u.index AS user, s.index AS streamer
WHERE user IS NOT NULL AND streamer IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer
