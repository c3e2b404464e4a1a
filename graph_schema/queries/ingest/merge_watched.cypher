// Adds watched seconds; returns how many joined in which minute, and from which minute they moved.
// mode: write
// params: batch
// columns: stream_id, old_minute, new_minute, num_rows
CALL () {
  UNWIND range(0, size($batch.users) - 1) AS place
  MATCH (u:User {id: $batch.users[place]})
  WITH u ORDER BY place
  RETURN collect(u) AS users
}
CALL () {
  UNWIND range(0, size($batch.streamers) - 1) AS place
  MATCH (s:Streamer {id: $batch.streamers[place]})
  WITH s ORDER BY place
  RETURN collect(s) AS streamers
}
WITH users, streamers
WHERE size(users) = size($batch.users) AND size(streamers) = size($batch.streamers)
UNWIND $batch.rows AS row
WITH users[row[0]] AS u, streamers[row[1]] AS s, $batch.stream_ids[row[2]] AS stream_id, $batch.days[row[3]] AS day,
  row[4] AS seconds, row[5] AS first_at, row[6] AS last_at
OPTIONAL MATCH (u)-[r:WATCHED {stream_id: stream_id, day: day}]->(s)
WITH u, s, r, stream_id, day, seconds, first_at, last_at, r.first_at.epochMillis AS old_first_at
FOREACH (_ IN CASE WHEN r IS NULL THEN [1] ELSE [] END |
  CREATE (u)-[:WATCHED {stream_id: stream_id, day: day, seconds: seconds,
    first_at: datetime({epochMillis: first_at}), last_at: datetime({epochMillis: last_at})}]->(s))
FOREACH (_ IN CASE WHEN r IS NULL THEN [] ELSE [1] END |
  SET r.seconds = r.seconds + seconds,
    r.first_at = CASE WHEN r.first_at.epochMillis <= first_at THEN r.first_at ELSE datetime({epochMillis: first_at}) END,
    r.last_at = CASE WHEN r.last_at.epochMillis >= last_at THEN r.last_at ELSE datetime({epochMillis: last_at}) END)
RETURN stream_id, old_first_at / 60000 AS old_minute,
  CASE WHEN old_first_at <= first_at THEN old_first_at ELSE first_at END / 60000 AS new_minute, count(*) AS num_rows
