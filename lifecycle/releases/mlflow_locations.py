"""Keeps MLflow's artifact locations inside the installation: its database stores them as absolute paths."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's database that hold the location of a folder or a file."""

DATABASE_FILE = "mlflow.db"
ARTIFACTS = "artifacts"
_DEFAULT_EXPERIMENT = "0"
_HAS_SERVER = "mlflow-artifacts:"

_log = logging.getLogger(__name__)


def artifacts_folder(root: Path) -> Path:
    """Folder of all artifacts below MLflow's folder `root`."""
    return root / ARTIFACTS


def move_locations(root: Path) -> int:
    """Point every location in the database at this installation's artifacts; the number of changed rows.

    After an installation was copied, restored or moved, the database names the folder of the original: MLflow would
    read it and write into it. Atomic and idempotent; a database that is missing has nothing to change.
    """
    path = root / DATABASE_FILE
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        present = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
        moved = sum(_move(database, root, table, column) for table, column in LOCATIONS if table in present)
        if "experiments" in present:
            moved += _place_default(database, root)
    if moved:
        _log.warning(
            "MLflow: %d locations named the folder of another installation; they are here now: %s", moved, root
        )
    return moved


def moved_location(location: str, root: Path) -> str:
    """A location below the same artifacts folder of this installation; any other location stays as it is.

    Examples
    --------
    >>> moved_location("file:///old%20home/mlflow/artifacts/card_fraud/1", Path("/new/mlflow"))
    'file:///new/mlflow/artifacts/card_fraud/1'
    >>> moved_location("/old/mlflow/artifacts", Path("/new/mlflow"))
    '/new/mlflow/artifacts'
    >>> moved_location("models:/m-1", Path("/new/mlflow"))
    'models:/m-1'
    """
    if not location.startswith(("file:", "/")):
        return location
    before, mark, below = f"{location}/".rpartition(f"/{root.name}/{ARTIFACTS}/")
    if not mark:
        return location
    folder = artifacts_folder(root)
    base = folder.as_uri() if before.startswith("file:") else str(folder)
    return f"{base}/{below}".rstrip("/")


def _move(database: sqlite3.Connection, root: Path, table: str, column: str) -> int:
    rows = database.execute(f"select distinct {column} from {table} where {column} is not null").fetchall()  # noqa: S608
    changes = [(new, old) for (old,) in rows if (new := moved_location(old, root)) != old]
    return sum(
        database.execute(f"update {table} set {column} = ? where {column} = ?", change).rowcount  # noqa: S608
        for change in changes
    )


def _place_default(database: sqlite3.Connection, root: Path) -> int:
    """Move MLflow's own first experiment, which nothing uses, from the folder in which it happened to be made."""
    folder = artifacts_folder(root).as_uri()
    return database.execute(
        "update experiments set artifact_location = ? where experiment_id = ? "
        "and artifact_location not like ? and artifact_location <> ?",
        (f"{folder}/0", _DEFAULT_EXPERIMENT, f"{_HAS_SERVER}%", f"{folder}/0"),
    ).rowcount
