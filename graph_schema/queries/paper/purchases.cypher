// What users of a range bought before a window's end, refunds left out, each product once for the time before the
// window and once within it: one record of lists.
// mode: read
// params: start, stop, since, until, category
// columns: user, product, is_after
MATCH (u:User)-[b:BOUGHT]->(p:Product)
USING INDEX u:User(index)
WHERE u.index >= $start AND u.index < $stop AND b.at < $until AND b.refunded_at IS NULL
  AND ($category = '' OR EXISTS { (p)-[:IN]->(:Category {id: $category}) })
WITH DISTINCT u.index AS user, p.index AS product, b.at >= $since AS is_after
WHERE user IS NOT NULL AND product IS NOT NULL AND is_after IS NOT NULL
RETURN collect(user) AS user, collect(product) AS product, collect(is_after) AS is_after
