"""The recommendation platform for live-stream e-commerce."""
