"""The ingester: drains a shard of the event log into the graph, each event exactly once."""
