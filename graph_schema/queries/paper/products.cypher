// The products there are, or those of a category: one record of a list.
// mode: read
// params: category
// columns: product
MATCH (p:Product)
WHERE p.index >= 0 AND ($category = '' OR EXISTS { (p)-[:IN]->(:Category {id: $category}) })
RETURN collect(p.index) AS product
