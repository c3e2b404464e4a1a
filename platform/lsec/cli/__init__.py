"""The `lsec` command: for people with tables and progress bars, for machines with `--json`."""
