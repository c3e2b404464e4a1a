// How many dense indexes are given to users, streamers and products.
// mode: read
// params: -
// columns: label, next
MATCH (c:IndexCounter)
RETURN c.label AS label, c.next AS next
