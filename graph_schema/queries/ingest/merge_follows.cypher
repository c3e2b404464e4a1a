// Users follow streamers, unless they unfollowed at that moment or later.
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
OPTIONAL MATCH (u)-[gone:UNFOLLOWED]->(s)
FOREACH (_ IN CASE WHEN gone IS NULL OR gone.at < at THEN [1] ELSE [] END |
  MERGE (u)-[f:FOLLOWS]->(s)
  SET f.at = CASE WHEN f.at >= at THEN f.at ELSE at END
  DELETE gone)
RETURN count(*) AS num_rows
