"""What the code location needs of dagster-dbt, imported without dbt itself.

dagster-dbt imports dbt for types that it compares with: 2.1 s of processor time in every process that loads the code
location, where dbt only ever runs as a child process. Told that dbt is not installed, dagster-dbt takes types of its
own and every node of the manifest. To be removed when dagster-dbt imports dbt lazily.
"""

import sys
import warnings

_imported = sys.modules.get("dbt.version")
sys.modules["dbt.version"] = None  # type: ignore[assignment] # makes its import fail
try:
    with warnings.catch_warnings():
        # dagster-dbt imports sqlglot, which imports sqlglotrs where it is installed, which announces its end.
        warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
        from dagster_dbt import DagsterDbtTranslator, dbt_assets
finally:
    if _imported is None:
        del sys.modules["dbt.version"]
    else:
        sys.modules["dbt.version"] = _imported

__all__ = ["DagsterDbtTranslator", "dbt_assets"]
