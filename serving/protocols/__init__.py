"""Foreign inference protocols."""
