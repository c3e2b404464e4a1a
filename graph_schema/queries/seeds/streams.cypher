// The streams that began within a window, each with its streamer: one record of two lists.
// mode: read
// params: since, until
// columns: streamer, stream
MATCH (s:Streamer)-[:HOSTED]->(t:Stream)
WHERE t.started_at >= $since AND t.started_at < $until
RETURN collect(s.index) AS streamer, collect(t.id) AS stream
