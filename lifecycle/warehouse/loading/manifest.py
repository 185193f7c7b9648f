"""The manifest of loaded files, identified by the digest of their content."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

from lifecycle.warehouse.interface import Session
from lifecycle.warehouse.loading.quarantine import Quarantine
from lifecycle.warehouse.loading.source_files import Source
from lifecycle.warehouse.raw_tables import LOADS_TABLE, REJECTS_TABLE

RowsOfFile = tuple[int, dt.date | None, dt.date | None]
"""Rows, first and last day."""
NONE: RowsOfFile = (0, None, None)


def recorded_files(session: Session, mapping_digest: str, sources: Sequence[Source]) -> dict[str, dict[str, int]]:
    """Rows by relation of each file that was loaded before with this mapping, by the file's digest."""
    digests = {source.file.digest for source in sources}
    rows = session.query(
        f"select content_digest, relation, rows_read from {LOADS_TABLE} where mapping_digest = ?", [mapping_digest]
    ).to_pylist()
    recorded: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["content_digest"] in digests:
            recorded.setdefault(row["content_digest"], {})[row["relation"]] = row["rows_read"]
    return recorded


def rejected_rows(session: Session, sources: Sequence[Source]) -> int:
    """Rows of these files that earlier loads rejected."""
    digests = {source.file.digest for source in sources}
    rows = session.query(f"select content_digest, rows_rejected from {REJECTS_TABLE}").to_pylist()
    return sum(int(row["rows_rejected"]) for row in rows if row["content_digest"] in digests)


def record_rejects(session: Session, relation: str, quarantine: Quarantine, known: Collection[str]) -> None:
    """Add one row for each file and reason, but for files whose digest is in `known`."""
    import pyarrow as pa

    counts = [(key, count) for key, count in quarantine.counts().items() if key[0] not in known]
    loaded_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    columns = {
        "relation": pa.array([relation] * len(counts), pa.string()),
        "content_digest": pa.array([digest for (digest, _, _), _ in counts], pa.string()),
        "source_name": pa.array([name for (_, name, _), _ in counts], pa.string()),
        "reason": pa.array([reason for (_, _, reason), _ in counts], pa.string()),
        "rows_rejected": pa.array([count for _, count in counts], pa.int64()),
        "loaded_at": pa.array([loaded_at] * len(counts), pa.timestamp("us")),
    }
    session.append(REJECTS_TABLE, pa.table(columns))


def record(
    session: Session,
    mapping_digest: str,
    relation: str,
    sources: Sequence[Source],
    read: Mapping[int, RowsOfFile],
    inserted: Mapping[int, RowsOfFile],
    known: Collection[str],
) -> None:
    """Add one row per file whose digest is not in `known`; `read` and `inserted` are keyed by the file's position."""
    import pyarrow as pa

    loaded_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    fresh = [position for position, source in enumerate(sources) if source.file.digest not in known]
    days = [read.get(position, NONE) for position in fresh]
    columns = {
        "relation": pa.array([relation] * len(fresh), pa.string()),
        "content_digest": pa.array([sources[position].file.digest for position in fresh], pa.string()),
        "mapping_digest": pa.array([mapping_digest] * len(fresh), pa.string()),
        "source_name": pa.array([sources[position].file.name for position in fresh], pa.string()),
        "rows_read": pa.array([rows for rows, _, _ in days], pa.int64()),
        "rows_inserted": pa.array([inserted.get(position, NONE)[0] for position in fresh], pa.int64()),
        "first_day": pa.array([first_day for _, first_day, _ in days], pa.date32()),
        "last_day": pa.array([last_day for _, _, last_day in days], pa.date32()),
        "loaded_at": pa.array([loaded_at] * len(fresh), pa.timestamp("us")),
    }
    session.append(LOADS_TABLE, pa.table(columns))
