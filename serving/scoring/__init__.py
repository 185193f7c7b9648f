"""Compiled scoring and explanation of one loaded model."""
