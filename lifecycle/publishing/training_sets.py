"""Frozen training sets: Parquet snapshots named by the digest of their content."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lifecycle.crash_points import crash_point
from lifecycle.errors import LifecycleError
from lifecycle.publishing.atomic import write_file, write_folder

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES_FILE = "examples.parquet"
DESCRIPTION_FILE = "training_set.json"


class TrainingSetDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is: `training_set.json` beside its rows."""

    model: str
    digest: str
    as_of: str
    first_day: str
    end_day: str
    rows: int
    reported: int


class TrainingSetStore:
    """The snapshots of one model: a folder a digest, and for each `as_of` the digest that stands."""

    def __init__(self, root: Path, model: str) -> None:
        self._model = model
        self._root = root / model

    def write(self, examples: "pa.Table", description: TrainingSetDescription) -> Path:
        """Freeze `examples` and let them stand for their `as_of`; the same content again changes nothing."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(examples, buffer, compression="zstd")
        content = msgspec.json.format(msgspec.json.encode(description), indent=2)
        folder = self._root / f"{description.as_of}-{description.digest[:16]}"
        write_folder(folder, {EXAMPLES_FILE: buffer.getvalue(), DESCRIPTION_FILE: content})
        crash_point("training_set.frozen")
        write_file(self._pointer(description.as_of), folder.name.encode())
        return folder

    def describe(self, as_of: str) -> TrainingSetDescription:
        """The snapshot that stands for `as_of`.

        Raises
        ------
        LifecycleError
            If there is none.
        """
        content = (self._folder(as_of) / DESCRIPTION_FILE).read_bytes()
        return msgspec.json.decode(content, type=TrainingSetDescription)

    def read(self, as_of: str) -> "pa.Table":
        """The rows of the snapshot that stands for `as_of`.

        Raises
        ------
        LifecycleError
            If there is none.
        """
        import pyarrow.parquet as pq

        return pq.read_table(self._folder(as_of) / EXAMPLES_FILE)

    def _pointer(self, as_of: str) -> Path:
        return self._root / "as_of" / as_of

    def _folder(self, as_of: str) -> Path:
        try:
            return self._root / self._pointer(as_of).read_text()
        except FileNotFoundError:
            raise LifecycleError(
                f"Expected a training set of {self._model} as of {as_of}, found none; materialise the asset "
                f"{self._model}/training_set for that partition - in {self._root}"
            ) from None
