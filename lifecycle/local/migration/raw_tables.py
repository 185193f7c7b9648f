"""Step: raw tables that this version declares and the warehouse does not have."""

from lifecycle.local.migration.step import Finding
from lifecycle.local.migration.warehouse_reading import base_tables
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use, open_warehouse
from lifecycle.warehouse.raw_tables import raw_definitions


class RawTables:
    """Creates missing raw tables, empty; a later load or build would create them, too."""

    name = "raw tables"

    def find(self, settings: Settings) -> Finding | None:
        """The declared tables that are missing."""
        warehouse = open_warehouse(settings)
        tables = base_tables(warehouse)
        missing = [
            definition.name
            for definition in raw_definitions(warehouse.dialect)
            if "." in definition.name and definition.name not in tables
        ]
        if not missing:
            return None
        return Finding(self.name, f"missing: {', '.join(missing)}", "create them, empty", 1.0)

    def run(self, settings: Settings) -> None:
        """Create them; existing tables stay as they are."""
        warehouse = open_warehouse(settings, Use("load"))
        warehouse.ensure(raw_definitions(warehouse.dialect))
