// Creates purchases that are not in the graph, with the refund that came before them.
// mode: write
// params: rows, seq, shard
// columns: num_rows
UNWIND $rows AS row
MATCH (u:User {id: row.user_id})
MATCH (p:Product {id: row.product_id})
OPTIONAL MATCH (refund:Refund {purchase_event_id: row.event_id})
CREATE (u)-[:BOUGHT {event_id: row.event_id, at: datetime({epochMillis: row.at}), quantity: row.quantity, amount: row.amount,
  streamer_id: row.streamer_id, stream_id: row.stream_id, refunded_at: refund.at, seq: $seq, shard: $shard}]->(p)
RETURN count(*) AS num_rows
