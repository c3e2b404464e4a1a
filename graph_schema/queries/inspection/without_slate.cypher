// Those of some users who are in the graph and have no slate of a release.
// mode: read
// params: release_id, user_ids
// columns: user_id
UNWIND $user_ids AS user_id
MATCH (u:User {id: user_id})
WHERE NOT EXISTS { MATCH (u)-[:HAS_SLATE]->(s:Slate) WHERE s.release_id = $release_id }
RETURN user_id
