// Moves a locked position past the batch.
// mode: write
// params: shard, position, num_events
// columns: -
MATCH (o:IngestOffset {shard: $shard})
SET o.position = $position, o.num_events = $num_events
