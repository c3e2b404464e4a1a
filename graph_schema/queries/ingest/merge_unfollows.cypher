// Users unfollow streamers, unless they followed later.
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
WITH users[row[0]] AS u, streamers[row[1]] AS s, datetime({epochMillis: row[2]}) AS at
OPTIONAL MATCH (u)-[f:FOLLOWS]->(s)
FOREACH (_ IN CASE WHEN f IS NULL OR f.at <= at THEN [1] ELSE [] END |
  MERGE (u)-[gone:UNFOLLOWED]->(s)
  SET gone.at = CASE WHEN gone.at >= at THEN gone.at ELSE at END
  DELETE f)
RETURN count(*) AS num_rows
