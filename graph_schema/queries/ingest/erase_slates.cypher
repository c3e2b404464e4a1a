// Deletes the slates of users who erased their data.
// mode: write
// params: rows
// columns: -
UNWIND $rows AS row
MATCH (:User {id: row.user_id})-[:HAS_SLATE]->(slate:Slate)
DETACH DELETE slate
