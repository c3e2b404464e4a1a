// Creates the purchases that are not in the graph yet, with the refund that came before them.
// mode: write
// params: batch, seq, shard
// columns: found, created
CALL () {
  UNWIND range(0, size($batch.users) - 1) AS place
  MATCH (u:User {id: $batch.users[place]})
  WITH u ORDER BY place
  RETURN collect(u) AS users
}
CALL () {
  UNWIND range(0, size($batch.products) - 1) AS place
  MATCH (p:Product {id: $batch.products[place]})
  WITH p ORDER BY place
  RETURN collect(p) AS products
}
CALL (users, products) {
  UNWIND CASE WHEN size(users) = size($batch.users) AND size(products) = size($batch.products) THEN $batch.rows ELSE [] END AS row
  WITH users[row[0]] AS u, products[row[1]] AS p, $batch.streamer_ids[row[2]] AS streamer_id, $batch.stream_ids[row[3]] AS stream_id,
    row[4] AS event_id, row[5] AS quantity, row[6] AS amount, row[7] AS at
  WHERE NOT EXISTS { ()-[:BOUGHT {event_id: event_id}]->() }
  OPTIONAL MATCH (refund:Refund {purchase_event_id: event_id})
  CREATE (u)-[:BOUGHT {event_id: event_id, at: datetime({epochMillis: at}), quantity: quantity, amount: amount,
    streamer_id: streamer_id, stream_id: stream_id, refunded_at: refund.at, seq: $seq, shard: $shard}]->(p)
  RETURN collect(event_id) AS created
}
RETURN size(users) = size($batch.users) AND size(products) = size($batch.products) AS found, created
