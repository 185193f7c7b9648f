"""Policies as pure functions: from the known facts to a verdict or an order."""
