// Ids of the streamers whose dense index lies in a range, as one record.
// mode: read
// params: start, stop
// columns: indexes, ids
MATCH (n:Streamer)
WHERE n.index >= $start AND n.index < $stop
RETURN collect(n.index) AS indexes, collect(n.id) AS ids
