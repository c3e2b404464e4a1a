// The next release, in the order of ids, that there are vectors of: step by step it names all without a scan.
// mode: read
// params: after
// columns: release_id
MATCH (v:Vector)
WHERE v.release_id > $after AND v.kind IS NOT NULL AND v.item_id IS NOT NULL
RETURN v.release_id AS release_id
ORDER BY release_id
LIMIT 1
