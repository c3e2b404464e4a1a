// Whom users of a range follow now and began to follow before a time: one record of two lists.
// mode: read
// params: start, stop, until
// columns: user, streamer
MATCH (u:User)-[f:FOLLOWS]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND f.at < $until
WITH u.index AS user, s.index AS streamer
WHERE user IS NOT NULL AND streamer IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer
