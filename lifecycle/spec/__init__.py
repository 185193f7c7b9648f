"""The schema of a model file and its contract with the mart."""
