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
OPTIONAL MATCH (u)-[f:FOLLOWS]->(s)
OPTIONAL MATCH (u)-[gone:UNFOLLOWED]->(s)
WITH u, s, f, gone, at, gone IS NULL OR gone.at < at AS counts
FOREACH (_ IN CASE WHEN counts AND f IS NULL THEN [1] ELSE [] END | CREATE (u)-[:FOLLOWS {at: at}]->(s))
FOREACH (_ IN CASE WHEN counts AND f.at < at THEN [1] ELSE [] END | SET f.at = at)
FOREACH (_ IN CASE WHEN counts THEN [1] ELSE [] END | DELETE gone)
RETURN count(*) AS num_rows
