// The last batch that each shard's ingester has committed: purchases up to it belong to a snapshot.
// mode: read
// params: -
// columns: shard, seq, position
MATCH (o:IngestOffset)
RETURN o.shard AS shard, o.seq AS seq, o.position AS position
ORDER BY shard
