// Present followings of a range of users: one record of lists of vectors.
// mode: read
// params: start, stop, streamers
// columns: users, streamers, at_ms
CYPHER 25
MATCH (u:User)-[f:FOLLOWS]->(s:Streamer)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
WITH u.index AS user, s.index AS streamer, f.at.epochMillis AS at
WHERE user IS NOT NULL AND streamer IS NOT NULL AND at IS NOT NULL
WITH collect(user) AS users, collect(streamer) AS streamers, collect(at) AS at_ms
RETURN
  [i IN range(0, size(users) - 1, 4096) WHERE i < size(users) |
    vector(users[i..i + 4096], size(users[i..i + 4096]), INTEGER32)] AS users,
  [i IN range(0, size(streamers) - 1, 4096) WHERE i < size(streamers) |
    vector(streamers[i..i + 4096], size(streamers[i..i + 4096]), INTEGER32)] AS streamers,
  [i IN range(0, size(at_ms) - 1, 4096) WHERE i < size(at_ms) |
    vector(at_ms[i..i + 4096], size(at_ms[i..i + 4096]), INTEGER64)] AS at_ms
