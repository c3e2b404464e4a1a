// Present followings of a range of users, as one record of three lists.
// mode: read
// params: start, stop, streamers
// columns: users, streamers, at_ms
MATCH (u:User)-[f:FOLLOWS]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
RETURN collect(u.index) AS users, collect(s.index) AS streamers, collect(f.at.epochMillis) AS at_ms
