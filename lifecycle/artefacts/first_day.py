"""The first day of the loaded data, with which a model's partitions begin."""

import datetime as dt
import json
from pathlib import Path

from lifecycle.errors import LifecycleError
from serving.storage.durable import write_file

FIRST_DAY_FILE = "first_day.json"
_KEY = "first_day"


def first_loaded_day(root: Path) -> dt.date | None:
    """The recorded day; ``None`` before the first load.

    Raises
    ------
    LifecycleError
        If the file cannot be read.
    """
    path = root / FIRST_DAY_FILE
    try:
        return dt.date.fromisoformat(json.loads(path.read_bytes())[_KEY])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LifecycleError(
            f"Expected the first day of the loaded data, got {error}; remove the file, the next load or build of "
            f"features writes it - in {path}"
        ) from error


def record_first_day(root: Path, day: dt.date) -> bool:
    """Record the day; returns whether it is another one than before."""
    path = root / FIRST_DAY_FILE
    document = json.dumps({_KEY: day.isoformat()}).encode()
    if path.exists() and path.read_bytes() == document:
        return False
    write_file(path, document)
    return True
