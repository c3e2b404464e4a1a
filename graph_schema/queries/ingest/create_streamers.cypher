// Creates streamers with their dense indexes.
// mode: write
// params: rows
// columns: -
UNWIND $rows AS row
CREATE (:Streamer {id: row.id, index: row.index})
