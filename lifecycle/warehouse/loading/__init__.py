"""Loads files into raw tables: read, map, check, stage and insert exactly once."""
