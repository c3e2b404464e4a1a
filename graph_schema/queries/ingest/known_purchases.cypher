// Of the given purchases, those that are in the graph.
// mode: read
// params: event_ids
// columns: event_id
UNWIND $event_ids AS event_id
MATCH ()-[b:BOUGHT {event_id: event_id}]->()
RETURN b.event_id AS event_id
