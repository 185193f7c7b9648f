"""The first day of the loaded data, with which a model's partitions begin."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path

from lifecycle.errors import LifecycleError
from serving.storage.durable import write_file

FIRST_DAY_FILE = "first_day.json"
_KEY = "first_day"
_TABLES = "tables"


def first_loaded_day(root: Path, table: str | None = None) -> dt.date | None:
    """The recorded day; ``None`` before the first load.

    Parameters
    ----------
    table
        Raw table whose first day it is; ``None`` for the earliest of all. A file of an earlier version has no tables:
        its day counts for each.

    Raises
    ------
    LifecycleError
        If the file cannot be read.
    """
    path = root / FIRST_DAY_FILE
    try:
        document = json.loads(path.read_bytes())
        tables = {name: dt.date.fromisoformat(day) for name, day in document.get(_TABLES, {}).items()}
        earliest = dt.date.fromisoformat(document[_KEY])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LifecycleError(
            f"Expected the first day of the loaded data, got {error}; remove the file, the next load or build of "
            f"features writes it - in {path}"
        ) from error
    return earliest if table is None or not tables else tables.get(table)


def is_by_table(root: Path) -> bool:
    """Whether the recorded first day, if there is one, has a day for each raw table; raises as `first_loaded_day`."""
    if first_loaded_day(root) is None:
        return False
    return bool(json.loads((root / FIRST_DAY_FILE).read_bytes()).get(_TABLES))


def record_first_day(root: Path, days: Mapping[str, dt.date]) -> bool:
    """Record the first day of each raw table with rows, at least one; returns whether one is another than before."""
    path = root / FIRST_DAY_FILE
    content = {_KEY: min(days.values()).isoformat(), _TABLES: {name: day.isoformat() for name, day in days.items()}}
    document = json.dumps(content, sort_keys=True).encode()
    if path.exists() and path.read_bytes() == document:
        return False
    write_file(path, document)
    return True
