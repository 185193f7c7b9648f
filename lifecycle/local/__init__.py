"""Everything that only a single-machine installation needs."""
