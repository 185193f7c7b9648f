"""Policies: from what is known to a verdict or an order, as pure functions."""
