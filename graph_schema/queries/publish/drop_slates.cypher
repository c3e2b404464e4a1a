// Delete a release's slates of users who were erased while they were written.
// mode: write
// params: batch
// columns: -
UNWIND $batch.user_ids AS user_id
MATCH (s:Slate {release_id: $batch.release_id, user_id: user_id})
DETACH DELETE s
