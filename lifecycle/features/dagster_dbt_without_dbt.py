"""The parts of dagster-dbt that the code location uses, imported without dbt itself.

dagster-dbt imports dbt for types that it compares with, which costs every process of the code location 2.1 s of
processor time, although dbt only ever runs as a child process. With the import of ``dbt.version`` blocked, dagster-dbt
uses its own types. Remove this module when dagster-dbt imports dbt lazily.
"""

import sys
import warnings

_imported = sys.modules.get("dbt.version")
sys.modules["dbt.version"] = None  # type: ignore[assignment] # makes its import fail
try:
    with warnings.catch_warnings():
        # dagster-dbt imports sqlglot, which imports sqlglotrs if installed, which warns of its deprecation.
        warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
        from dagster_dbt import DagsterDbtTranslator, dbt_assets
        from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
finally:
    if _imported is None:
        del sys.modules["dbt.version"]
    else:
        sys.modules["dbt.version"] = _imported

__all__ = ["DagsterDbtTranslator", "DbtCoreCliEventMessage", "dbt_assets"]
