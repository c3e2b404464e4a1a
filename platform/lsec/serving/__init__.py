"""What a user may be shown, and in which order: pure functions of live state and a release, without I/O."""
