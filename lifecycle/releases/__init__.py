"""The release store, its history and freeze switch, and the mirror in MLflow."""
