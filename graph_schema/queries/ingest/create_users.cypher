// Creates users with the next dense indexes; that locks the counter until the commit.
// mode: write
// params: batch
// columns: -
MERGE (c:IndexCounter {label: 'User'})
ON CREATE SET c.next = 0
SET c.next = c.next + size($batch.ids)
WITH c.next - size($batch.ids) AS first
UNWIND range(0, size($batch.ids) - 1) AS place
CREATE (:User {id: $batch.ids[place], index: first + place})
