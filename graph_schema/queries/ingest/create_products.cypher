// Creates products with their dense indexes.
// mode: write
// params: rows
// columns: -
UNWIND $rows AS row
CREATE (:Product {id: row.id, index: row.index})
