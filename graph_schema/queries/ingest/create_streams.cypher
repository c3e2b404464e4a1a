// Creates streams.
// mode: write
// params: batch
// columns: -
UNWIND $batch.ids AS id
CREATE (:Stream {id: id})
