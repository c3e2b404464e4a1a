"""What the API keeps elsewhere: the only modules that open sessions and transactions."""
