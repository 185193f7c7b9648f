"""The code location: makes, judges and releases risk models."""

import os

# A bank's machine phones nobody; read by dbt, Evidently and MLflow when they are imported. Dagster's switch stands in
# the `dagster.yaml` that `lifecycle init` writes.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# LightGBM's threads give their core back while they wait; by default they spin, which costs a shared machine tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
