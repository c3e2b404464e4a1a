// All streamers' dense indexes, ids and names, as one record of lists.
// mode: read
// params: -
// columns: index, id, name
MATCH (s:Streamer)
WHERE s.index >= 0
RETURN collect(s.index) AS index, collect(s.id) AS id, collect(coalesce(s.name, '')) AS name
