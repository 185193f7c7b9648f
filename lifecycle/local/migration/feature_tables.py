"""Step: tables of features whose columns are those of an earlier version."""

from lifecycle.features.builds import build
from lifecycle.local.migration.step import Finding
from lifecycle.local.migration.warehouse_reading import base_tables, described_tables
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Warehouse, open_warehouse
from serving.storage.crash_points import crash_point
from serving.storage.durable import write_file

UNFINISHED_FILE = "migration.json"
"""Present while a full build runs: if it is killed, some tables are built and others read older ones."""
_START_SECONDS = 20.0
_ROWS_A_SECOND = 100_000
"""docs/benchmarks.md, "Cost of building features": 6 to 12 s and 4 to 12 µs a row with its tests."""


class FeatureTables:
    """Builds every day again with the tables' new columns, which an incremental build refuses to add."""

    name = "feature tables"

    def find(self, settings: Settings) -> Finding | None:
        """The tables whose columns differ from those that the dbt projects describe, or an unfinished build."""
        warehouse = open_warehouse(settings)
        tables = base_tables(warehouse)
        described = {table.relation: table for table in described_tables(settings) if table.relation in tables}
        outdated = {name: table.difference(tables[name]) for name, table in described.items()}
        found = [f"{name} {difference}" for name, difference in outdated.items() if difference]
        if (settings.root / UNFINISHED_FILE).exists():
            found.append("a full build that did not finish")
        if not found:
            return None
        seconds = _START_SECONDS + _most_rows(warehouse, list(described)) / _ROWS_A_SECOND
        action = "build every day again, as `lifecycle features build --full`"
        return Finding(self.name, "; ".join(found), action, seconds)

    def run(self, settings: Settings) -> None:
        """Replace the tables, and run their tests."""
        marker = settings.root / UNFINISHED_FILE
        write_file(marker, b'{"unfinished": "feature tables"}\n')
        crash_point("migration.build_begun")
        build(settings, full_refresh=True)
        marker.unlink()


def _most_rows(warehouse: Warehouse, relations: list[str]) -> int:
    if not relations:
        return 0
    counts = " union all ".join(f"select count(*) as row_count from {name}" for name in relations)  # noqa: S608 - ours
    return max(int(row["row_count"]) for row in warehouse.query(counts).to_pylist())
