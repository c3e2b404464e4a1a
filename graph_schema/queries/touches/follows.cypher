// When users of a range began to follow the streamers whom they follow now, within a window: one record of
// lists. Of all users in the range, or of those listed.
// mode: read
// params: start, stop, users, since, until
// columns: user, streamer, product, stream, at
MATCH (u:User)-[r:FOLLOWS]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND ($users IS NULL OR u.index IN $users)
  AND r.at >= $since AND r.at < $until
WITH u.index AS user, s.index AS streamer, r.at.epochMillis AS at
WHERE user IS NOT NULL AND streamer IS NOT NULL AND at IS NOT NULL
RETURN collect(user) AS user, collect(streamer) AS streamer, collect(-1) AS product, collect('') AS stream,
       collect(at) AS at
