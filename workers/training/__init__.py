"""LightGCN on purchases with follows as a second task: pure torch, no clients of any service."""
