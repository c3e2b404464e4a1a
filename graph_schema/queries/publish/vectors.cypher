// Write the vectors of some products or streamers; a restart writes the same again.
// mode: write
// params: release_id, kind, rows
// columns: -
UNWIND $rows AS row
MERGE (v:Vector {release_id: $release_id, kind: $kind, item_id: row.item_id})
SET v.values = row.values
