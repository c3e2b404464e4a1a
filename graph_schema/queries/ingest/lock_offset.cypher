// Write-locks a shard's position for this transaction and starts a batch.
// mode: write
// params: shard
// columns: epoch, position, seq
MATCH (o:IngestOffset {shard: $shard})
SET o.seq = o.seq + 1
RETURN o.epoch AS epoch, o.position AS position, o.seq AS seq
