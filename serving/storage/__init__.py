"""Durable file operations: atomic replacement, create-once, and crash points for tests."""
