"""Background processes of the platform: ingestion, training and publication."""
