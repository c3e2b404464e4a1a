// A user's slates, with the releases that they are of.
// mode: read
// params: user_id
// columns: slate
MATCH (:User {id: $user_id})-[:HAS_SLATE]->(slate:Slate)
RETURN properties(slate) AS slate
