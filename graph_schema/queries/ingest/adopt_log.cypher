// Binds a shard to a log at a position: its first log, or another one by an operator's decision.
// mode: write
// params: shard, epoch, position, num_events
// columns: -
MERGE (o:IngestOffset {shard: $shard})
ON CREATE SET o.seq = 0
SET o.epoch = $epoch, o.position = $position, o.num_events = $num_events
