"""Tripartite recommenders, our own and the paper's: pure torch, no clients of any service."""
