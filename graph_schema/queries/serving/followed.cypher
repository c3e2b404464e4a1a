// Whom a user follows, at most 10,000: one record of a list, an empty one for an unknown user.
// mode: read
// params: user_id
// columns: streamer_ids
MATCH (:User {id: $user_id})-[:FOLLOWS]->(s:Streamer)
WITH s.id AS streamer_id
LIMIT 10000
RETURN collect(streamer_id) AS streamer_ids
