// Creates streams.
// mode: write
// params: ids
// columns: -
UNWIND $ids AS id
CREATE (:Stream {id: id})
