"""Dagster wiring of one model, a file a stage; every decision stands in `modelling` and `judgement`."""
