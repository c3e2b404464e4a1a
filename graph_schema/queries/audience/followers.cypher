// Whom users of a range follow now and began to follow before a time: one record of two lists.
// mode: read
// params: start, stop, until
// columns: user, streamer
MATCH (u:User)-[f:FOLLOWS]->(s:Streamer)
WHERE u.index >= $start AND u.index < $stop AND f.at < $until
RETURN collect(u.index) AS user, collect(s.index) AS streamer
