// Takes the next dense indexes of a label, which locks the counter until the commit.
// mode: write
// params: label, count
// columns: first
MERGE (c:IndexCounter {label: $label})
ON CREATE SET c.next = 0
SET c.next = c.next + $count
RETURN c.next - $count AS first
