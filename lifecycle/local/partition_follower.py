"""Loads Dagster's definitions again when the loaded data begin on another day."""

import sys
from pathlib import Path

from lifecycle.artefacts.first_day import FIRST_DAY_FILE
from lifecycle.errors import LifecycleError
from lifecycle.local.dagster_api import DagsterApi


class PartitionFollower:
    """Called regularly by `lifecycle up`; a change of the recorded first day reloads the code location once."""

    def __init__(self, root: Path, dagster_url: str) -> None:
        self._path = root / FIRST_DAY_FILE
        self._dagster = DagsterApi(dagster_url)
        self._seen = self._content()

    def __call__(self) -> None:
        """Reload after a change; a failure is printed, and what runs goes on with the partitions it has."""
        content = self._content()
        if content == self._seen:
            return
        self._seen = content
        try:
            self._dagster.reload()
        except LifecycleError as error:
            sys.stderr.write(f"The partitions do not follow the loaded data yet: {error}. Reload the code location.\n")

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
