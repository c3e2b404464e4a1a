// Who opened, carted or bought a product of a category within a window, each once: one record of a list.
// mode: read
// params: category, since, until
// columns: user
MATCH (:Category {id: $category})<-[:IN]-(product:Product)
CALL (product) {
  MATCH (user:User)-[opened:VIEWED|CARTED]->(product)
  WHERE opened.first_at >= $since AND opened.first_at < $until
  RETURN user
  UNION
  MATCH (user:User)-[bought:BOUGHT]->(product)
  WHERE bought.at >= $since AND bought.at < $until
  RETURN user
}
RETURN collect(DISTINCT user.index) AS user
