"""Compiled tree ensembles that return raw margins."""
