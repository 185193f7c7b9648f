"""Queries over the warehouse: training examples, decisions and load status."""
