"""Decides requests that arrive whole in batches, one batch per event-loop turn."""
