"""The HTTP API: all async; it reads the graph and the ledger, appends to the log and sends jobs by name."""
