// Seconds that a range of users watched each streamer in each stream and UTC day, with a moment of that day:
// one record of lists of vectors. Summing by pair and day is faster where they are read.
// mode: read
// params: start, stop, streamers, since_ms, until_ms
// columns: users, streamers, seconds, at_ms
CYPHER 25
MATCH (u:User)-[w:WATCHED]->(s:Streamer)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
  AND ($since_ms IS NULL OR w.last_at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR w.first_at.epochMillis < $until_ms)
WITH u.index AS user, s.index AS streamer, w.seconds AS time, w.first_at.epochMillis AS at
WHERE user IS NOT NULL AND streamer IS NOT NULL AND time IS NOT NULL AND at IS NOT NULL
WITH collect(user) AS users, collect(streamer) AS streamers, collect(time) AS seconds, collect(at) AS at_ms
RETURN
  [i IN range(0, size(users) - 1, 4096) WHERE i < size(users) |
    vector(users[i..i + 4096], size(users[i..i + 4096]), INTEGER32)] AS users,
  [i IN range(0, size(streamers) - 1, 4096) WHERE i < size(streamers) |
    vector(streamers[i..i + 4096], size(streamers[i..i + 4096]), INTEGER32)] AS streamers,
  [i IN range(0, size(seconds) - 1, 4096) WHERE i < size(seconds) |
    vector(seconds[i..i + 4096], size(seconds[i..i + 4096]), INTEGER64)] AS seconds,
  [i IN range(0, size(at_ms) - 1, 4096) WHERE i < size(at_ms) |
    vector(at_ms[i..i + 4096], size(at_ms[i..i + 4096]), INTEGER64)] AS at_ms
