"""Jobs that keep the platform in order: erasures to their end, and what is past the retention."""
