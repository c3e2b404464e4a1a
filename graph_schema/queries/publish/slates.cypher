// Write the slates of some users; a restart writes the same again. Erased users are passed over.
// mode: write
// params: release_id, rows
// columns: -
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MERGE (s:Slate {release_id: $release_id, user_id: row.user_id})
SET s.product_ids = row.product_ids, s.scores = row.scores
MERGE (u)-[:HAS_SLATE]->(s)
