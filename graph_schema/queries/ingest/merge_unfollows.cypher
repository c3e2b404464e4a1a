// Users unfollow streamers, unless they followed later.
// mode: write
// params: rows
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (s:Streamer {id: row.streamer_id})
OPTIONAL MATCH (u)-[f:FOLLOWS]->(s)
WITH u, s, f, datetime({epochMillis: row.at}) AS at
FOREACH (_ IN CASE WHEN f IS NULL OR f.at <= at THEN [1] ELSE [] END |
  MERGE (u)-[gone:UNFOLLOWED]->(s)
  SET gone.at = CASE WHEN gone.at >= at THEN gone.at ELSE at END
  DELETE f)
RETURN count(*) AS num_rows
