// The products of a release nearest to one of them by the cosine of their vectors, the nearest first and itself
// among them: one record of two lists. Neo4j's score is (1 + cosine) / 2.
// mode: read
// params: release_id, product_id, limit
// columns: product_ids, scores
CYPHER 25
MATCH (mine:Vector {release_id: $release_id, kind: 'product', item_id: $product_id})
MATCH (v:Vector)
  SEARCH v IN (
    VECTOR INDEX vector_of_release
    FOR mine.values
    WHERE v.release_id = $release_id AND v.kind = 'product'
    LIMIT $limit
  ) SCORE AS score
WITH v.item_id AS product_id, score
WHERE product_id IS NOT NULL
WITH product_id, score
ORDER BY score DESC, product_id
RETURN collect(product_id) AS product_ids, collect(score) AS scores
