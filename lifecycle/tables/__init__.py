"""Canonical column types, typed column readers and the content digest of a table."""
