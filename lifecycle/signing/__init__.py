"""Signing keys and the signed envelope of every document that the platform publishes."""
