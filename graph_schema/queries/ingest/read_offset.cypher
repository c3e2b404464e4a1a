// How far a shard is in the graph: the only truth about it.
// mode: read
// params: shard
// columns: epoch, position, seq, num_events
MATCH (o:IngestOffset {shard: $shard})
RETURN o.epoch AS epoch, o.position AS position, o.seq AS seq, o.num_events AS num_events
