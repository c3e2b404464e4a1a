// The shard that a purchase came by, if it is in the graph.
// mode: read
// params: event_id
// columns: shard
MATCH ()-[b:BOUGHT {event_id: $event_id}]->()
RETURN b.shard AS shard
