// The record of a user as it stands in the graph. No row for an unknown one.
// mode: read
// params: user_id
// columns: record
MATCH (user:User {id: $user_id})
RETURN properties(user) AS record
