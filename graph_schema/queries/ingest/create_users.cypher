// Creates users with their dense indexes.
// mode: write
// params: rows
// columns: -
UNWIND $rows AS row
CREATE (:User {id: row.id, index: row.index})
