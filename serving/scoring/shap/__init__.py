"""Exact TreeSHAP contributions."""
