// The streams that began within a window, each with its streamer: one record of two lists.
// mode: read
// params: since, until
// columns: streamer, stream
MATCH (s:Streamer)-[:HOSTED]->(t:Stream)
WHERE t.started_at >= $since AND t.started_at < $until
WITH s.index AS streamer, t.id AS stream
WHERE streamer IS NOT NULL AND stream IS NOT NULL
RETURN collect(streamer) AS streamer, collect(stream) AS stream
