"""Component types: what a `defs.yaml` becomes."""
