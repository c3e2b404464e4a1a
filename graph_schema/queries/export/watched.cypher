// Seconds that a range of users watched each streamer on each UTC day, summed over streams, as one record of lists.
// mode: read
// params: start, stop, streamers, since_ms, until_ms
// columns: users, streamers, seconds, day_ms
MATCH (u:User)-[w:WATCHED]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND ($streamers IS NULL OR s.id IN $streamers)
  AND ($since_ms IS NULL OR w.last_at.epochMillis >= $since_ms)
  AND ($until_ms IS NULL OR w.first_at.epochMillis < $until_ms)
WITH u.index AS user, s.index AS streamer, w.day AS day, sum(w.seconds) AS total
RETURN collect(user) AS users, collect(streamer) AS streamers, collect(total) AS seconds,
  collect(datetime({date: day, timezone: 'Z'}).epochMillis) AS day_ms
