"""Looks at the installation and says what must hold and does not, each time with the remedy."""
