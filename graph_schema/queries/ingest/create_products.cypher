// Creates those of the given products that are not in the graph, with the next dense indexes; that locks their counter.
// mode: write
// params: batch
// columns: -
UNWIND $batch.ids AS id
OPTIONAL MATCH (n:Product {id: id})
WITH id, n
WHERE n IS NULL
WITH collect(id) AS ids
WHERE size(ids) > 0
MERGE (c:IndexCounter {label: 'Product'})
ON CREATE SET c.next = 0
SET c.next = c.next + size(ids)
WITH ids, c.next - size(ids) AS first
UNWIND range(0, size(ids) - 1) AS place
CREATE (:Product {id: ids[place], index: first + place})
