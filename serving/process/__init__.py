"""Composition of one server process and its workers."""
