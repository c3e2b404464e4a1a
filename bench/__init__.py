"""Benchmarks: each compares with a baseline or a ceiling in the same run, on a stack of its own."""
