"""Training networks and measuring their accuracy."""
