"""The decision log: segments, group commit, seals and verification."""
