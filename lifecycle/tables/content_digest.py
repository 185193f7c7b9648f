"""Digest of a training set's logical content, computed while its rows stream through."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.errors import LifecycleError
from lifecycle.tables.canonical import canonical_batch, canonical_schema
from lifecycle.tables.columns import named

FORMAT = b"training set, format 2\n"
DECIMAL_BYTES = 16


class ContentDigest:
    """SHA-256 over names, kinds, values and nulls of rows that come in order of `occurred_at`, then `transaction`.

    Does not depend on how the rows are cut into batches, on the warehouse that sent them, or on any file's bytes:
    integers count as int64, decimals by their places, floats as IEEE doubles (with ``-0.0`` as ``0.0`` and one NaN),
    timestamps in microseconds of UTC. The order of columns counts.

    Each column has running hashes of its own: of the row numbers of its nulls, of the values between them, and of
    the lengths of text, since a hash fed column after column would depend on where a batch ends.
    """

    def __init__(self, occurred_at: str = "occurred_at", transaction: str = "transaction_id") -> None:
        self.rows = 0
        self._keys = (occurred_at, transaction)
        self._schema: pa.Schema | None = None
        self._columns: list[_Column] = []
        self._newest: tuple[pa.Array, pa.Array] | None = None

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows.

        Raises
        ------
        LifecycleError
            If the keys are missing or null, a row is not in order, or the columns differ from those of the
            first batch; the digest is unusable afterwards.
        """
        if self._schema is None:
            self._begin(batch.schema)
        batch = canonical_batch(batch, self._schema)
        self._expect_order(batch)
        for column, values in zip(self._columns, batch.columns, strict=True):
            column.update(values, self.rows)
        self.rows += batch.num_rows

    def hexdigest(self) -> str:
        """The digest of the rows so far.

        Raises
        ------
        LifecycleError
            If there was no batch: the columns are unknown then.
        """
        if self._schema is None:
            raise LifecycleError("Expected rows to digest, got no batch - at the training set")
        content = hashlib.sha256(FORMAT + f"{self.rows} rows\n".encode())
        for column in self._columns:
            content.update(column.summary())
        return content.hexdigest()

    def _begin(self, schema: pa.Schema) -> None:
        missing = sorted(set(self._keys) - set(schema.names))
        if missing:
            raise LifecycleError(f"Expected the columns {list(self._keys)}, missing {missing} - at the training set")
        self._schema = canonical_schema(schema)
        self._columns = [_Column(field) for field in self._schema]

    def _expect_order(self, batch: pa.RecordBatch) -> None:
        times, ids = (batch.column(name) for name in self._keys)
        for name, values in zip(self._keys, (times, ids), strict=True):
            if values.null_count:
                raise LifecycleError(f"Expected no null, got {values.null_count} - at column {name!r} of a batch")
        first = self.rows
        if self._newest is not None:
            times, ids = (pa.concat_arrays([old, new]) for old, new in zip(self._newest, (times, ids), strict=True))
            first -= 1
        if len(times) == 0:
            return
        before, after = slice(None, -1), slice(1, None)
        is_after = pc.or_(
            pc.less(times[before], times[after]),
            pc.and_(pc.equal(times[before], times[after]), pc.less(ids[before], ids[after])),
        )
        faulty = np.flatnonzero(~is_after.to_numpy(zero_copy_only=False)) + 1 + first
        if faulty.size:
            raise LifecycleError(
                f"Expected rows in order of {self._keys[0]} and {self._keys[1]}, each once, got {faulty.size} that "
                f"do not come after the row before, first at rows {named(faulty)} - at the training set"
            )
        # One row each, copied: a slice would keep its whole batch in memory.
        last = pa.array([len(times) - 1])
        self._newest = times.take(last), ids.take(last)


class _Column:
    """Running hashes of one column."""

    def __init__(self, field: pa.Field) -> None:
        self._field = field
        self._nulls = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()

    def update(self, values: pa.Array, first_row: int) -> None:
        """Add values, the first of which is of row `first_row`."""
        if values.null_count:
            rows = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)) + first_row
            self._nulls.update(rows.astype("<i8").tobytes())
            values = values.drop_null()
        if pa.types.is_string(values.type):
            self._lengths.update(pc.binary_length(values).to_numpy().astype("<i8").tobytes())
        self._values.update(_value_bytes(values))

    def summary(self) -> bytes:
        """Name, kind and hashes; the name's length keeps it apart from the kind."""
        name = self._field.name
        hashes = " ".join(part.hexdigest() for part in (self._nulls, self._lengths, self._values))
        return f"{len(name)} {name} {_kind(self._field.type)} {hashes}\n".encode()


def _kind(canonical: pa.DataType) -> str:
    """The project's own name of a type, so that no digest depends on Arrow's spelling."""
    if pa.types.is_decimal(canonical):
        return f"decimal of {canonical.scale} places"
    kinds = {
        pa.int64(): "integer",
        pa.float64(): "float",
        pa.string(): "text",
        pa.timestamp("us"): "timestamp in us",
        pa.date32(): "date",
        pa.bool_(): "boolean",
    }
    return kinds[canonical]


def _value_bytes(values: pa.Array) -> bytes | memoryview:
    """Values of a canonical column without nulls, in little-endian order, copied only where necessary."""
    kind = values.type
    if pa.types.is_string(kind):
        offsets = np.frombuffer(values.buffers()[1] or b"", np.int32)[values.offset : values.offset + len(values) + 1]
        text = values.buffers()[2]
        return memoryview(text)[offsets[0] : offsets[-1]] if text is not None and len(values) else b""
    if pa.types.is_decimal(kind):
        start, end = values.offset * DECIMAL_BYTES, (values.offset + len(values)) * DECIMAL_BYTES
        return memoryview(values.buffers()[1])[start:end] if len(values) else b""
    if pa.types.is_floating(kind):
        numbers = values.to_numpy() + 0.0
        numbers[np.isnan(numbers)] = np.nan
        return bytes(numbers.astype("<f8").tobytes())
    if pa.types.is_boolean(kind):
        return bytes(values.to_numpy(zero_copy_only=False).astype("<i1").tobytes())
    whole = values.view(pa.int32()) if pa.types.is_date(kind) else values.view(pa.int64())
    return bytes(whole.to_numpy().astype("<i8").tobytes())


def content_digest(
    batches: Iterable[pa.RecordBatch], occurred_at: str = "occurred_at", transaction: str = "transaction_id"
) -> str:
    """Digest of all of `batches`; see `ContentDigest`."""
    digest = ContentDigest(occurred_at, transaction)
    for batch in batches:
        digest.update(batch)
    return digest.hexdigest()
