"""Step: the first day of each raw table, where the home has one day for all of them."""

from lifecycle.artefacts.first_day import is_by_table
from lifecycle.local.migration.step import Finding
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import open_warehouse
from lifecycle.warehouse.reading.first_day import first_days, note_first_day


class FirstDays:
    """Records a first day for each raw table of events; the partitions of a model begin with that of its own."""

    name = "first days"

    def find(self, settings: Settings) -> Finding | None:
        """Whether the file has one day for all tables."""
        if is_by_table(settings.root):
            return None
        days = first_days(open_warehouse(settings))
        if not days:
            return None  # nothing is loaded yet: the first load records it
        action = ", ".join(f"{name}: {day}" for name, day in sorted(days.items()))
        return Finding(self.name, "first_day.json has no day of its own for each raw table", f"record {action}", 1.0)

    def run(self, settings: Settings) -> None:
        """Write ``first_day.json``."""
        note_first_day(open_warehouse(settings), settings.root)
