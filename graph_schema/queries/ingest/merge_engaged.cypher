// Adds comments, likes, gifts and shares.
// mode: write
// params: batch
// columns: num_rows
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
  row[4] AS comments, row[5] AS likes, row[6] AS gifts, row[7] AS shares, row[8] AS first_at,
  row[9] AS last_at
OPTIONAL MATCH (u)-[r:ENGAGED {stream_id: stream_id, day: day}]->(s)
FOREACH (_ IN CASE WHEN r IS NULL THEN [1] ELSE [] END |
  CREATE (u)-[:ENGAGED {stream_id: stream_id, day: day, comments: comments, likes: likes, gifts: gifts, shares: shares,
    first_at: datetime({epochMillis: first_at}), last_at: datetime({epochMillis: last_at})}]->(s))
FOREACH (_ IN CASE WHEN r IS NULL THEN [] ELSE [1] END |
  SET r.comments = r.comments + comments,
    r.likes = r.likes + likes,
    r.gifts = r.gifts + gifts,
    r.shares = r.shares + shares,
    r.first_at = CASE WHEN r.first_at.epochMillis <= first_at THEN r.first_at ELSE datetime({epochMillis: first_at}) END,
    r.last_at = CASE WHEN r.last_at.epochMillis >= last_at THEN r.last_at ELSE datetime({epochMillis: last_at}) END)
RETURN count(*) AS num_rows
