"""The code location: trains, validates and releases risk models."""

import os

FIXED_VARIABLES = {
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Waiting LightGBM threads sleep; by default they spin, which makes a shared machine ten times slower.
    "OMP_WAIT_POLICY": "passive",
}
"""Environment of this process and its children, set before dbt, Evidently, MLflow and LightGBM are imported. It turns
their telemetry off; Dagster's switch is in the `dagster.yaml` that `lifecycle init` writes."""

for _name, _value in FIXED_VARIABLES.items():
    os.environ.setdefault(_name, _value)
