// What the pointers show, the only truth about it, and which releases were active before, the last one first.
// mode: read
// params: -
// columns: name, release_id, previous_ids
MATCH (a:ActivePointer)
OPTIONAL MATCH (a)-[:ACTIVE]->(r:Release)
RETURN a.name AS name, r.id AS release_id, coalesce(a.previous_ids, []) AS previous_ids
