// All that a user did and chose, one row a relationship; slates have their own query.
// mode: read
// params: user_id
// columns: type, label, id, properties
MATCH (:User {id: $user_id})-[r:!HAS_SLATE]-(other)
RETURN type(r) AS type, labels(other)[0] AS label, other.id AS id, properties(r) AS properties
