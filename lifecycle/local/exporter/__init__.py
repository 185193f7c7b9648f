"""Prometheus metrics of the lifecycle, read from an installation's files at each scrape."""
