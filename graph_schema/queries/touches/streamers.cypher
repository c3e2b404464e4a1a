// All streamers' dense indexes, ids and names, as one record of lists.
// mode: read
// params: -
// columns: index, id, name
MATCH (s:Streamer)
WHERE s.index >= 0
WITH s.index AS index, s.id AS id, coalesce(s.name, '') AS name
WHERE index IS NOT NULL AND id IS NOT NULL
RETURN collect(index) AS index, collect(id) AS id, collect(name) AS name
