"""The vocabulary of the graph: labels, relationships, events, migrations and queries."""
