"""Environment variables with the SQL of derived features, which the dbt macro `derived` writes into a mart."""

import json

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import SHIPPED_MODELS, Settings
from lifecycle.spec.derived_sql import column_sql
from lifecycle.spec.model_files import MODEL_FILE, model_files, read_spec
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.derivation import is_derived

PREFIX = "LIFECYCLE_DERIVED_"
LONGEST_VARIABLE = 120_000
"""Bytes of the longest variable; Linux starts no program with one above 128 KiB."""


def derived_variables(settings: Settings) -> dict[str, str]:
    """A variable for each model with derived features: a JSON object of their SQL by name.

    A model whose file is invalid has none: the build of a mart that needs it fails, and says so.

    Raises
    ------
    LifecycleError
        If the SQL of a model is longer than a variable may be.
    """
    variables = {}
    # The shipped marts need their own models' SQL, whichever models are in use.
    paths = {path.parent.name: path for path in (*SHIPPED_MODELS.glob(f"*/{MODEL_FILE}"), *model_files())}
    for path in paths.values():
        try:
            spec = read_spec(path, settings.profile)
        except LifecycleError:
            continue
        columns = derived_columns(spec)
        if columns:
            text = json.dumps(columns)
            if len(text.encode()) > LONGEST_VARIABLE:
                raise LifecycleError(
                    f"Expected derived features of at most {LONGEST_VARIABLE} bytes of SQL, got {len(text.encode())} "
                    f"- at `features` in {path}"
                )
            variables[PREFIX + spec.name.upper()] = text
    return variables


def derived_columns(spec: RiskModelSpec) -> dict[str, str]:
    """SQL of each derived feature of a model by name."""
    fields = {field.name: field for field in spec.request_fields}
    derived = [feature for feature in spec.contract_features if is_derived(feature)]
    return {feature.name: column_sql(feature, fields, spec.columns.occurred_at) for feature in derived}
