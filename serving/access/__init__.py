"""API keys: storage, authentication and the command line."""
