// Deletes the slates of users who erased their data.
// mode: write
// params: batch
// columns: -
UNWIND $batch.rows AS row
MATCH (:User {id: row.user_id})-[:HAS_SLATE]->(slate:Slate)
DETACH DELETE slate
