"""The ledger: an append-only, hash-chained log of what was trained, judged and released, with signed checkpoints."""
