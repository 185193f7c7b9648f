"""The code location: trains, validates and releases risk models."""

import os

# Turn telemetry off before dbt, Evidently and MLflow are imported. Dagster's switch is in the `dagster.yaml` that
# `lifecycle init` writes.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Waiting LightGBM threads sleep; by default they spin, which makes a shared machine ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
