"""The code location: makes, judges and releases risk models."""
