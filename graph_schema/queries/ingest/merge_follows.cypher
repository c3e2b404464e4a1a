// Users follow streamers, unless they unfollowed at that moment or later.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (s:Streamer {id: row.streamer_id})
OPTIONAL MATCH (u)-[gone:UNFOLLOWED]->(s)
WITH u, s, gone, datetime({epochMillis: row.at}) AS at
FOREACH (_ IN CASE WHEN gone IS NULL OR gone.at < at THEN [1] ELSE [] END |
  MERGE (u)-[f:FOLLOWS]->(s)
  SET f.at = CASE WHEN f.at >= at THEN f.at ELSE at END
  DELETE gone)
RETURN count(*) AS num_rows
