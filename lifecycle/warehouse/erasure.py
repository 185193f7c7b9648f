"""Removes an entity, a person or a company, from everything that the installation stores, and records what remains.

The order makes a repeated call complete an interrupted one: the tombstones come first, so that no load brings a row
back, and the raw rows, by which all others are found, go last.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lifecycle.artefacts.training_sets import TrainingSetStore
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.settings.snowflake import Step
from lifecycle.warehouse import Use, Warehouse, open_warehouse
from lifecycle.warehouse.deletion import Rows, delete_rows
from lifecycle.warehouse.erasure_plan import ErasurePlan, erasure_plan
from lifecycle.warehouse.loading.erased import KeyHash, key_hash_of
from lifecycle.warehouse.raw_tables import ERASED_TABLE, raw_definitions
from serving.storage.crash_points import crash_point
from serving.storage.durable import create_once, write_file

REMAINS: Mapping[str, str] = {
    "decision log": "sealed by digests, so that no record can be changed unnoticed; its records hold the keyed hash of "
    "the entity, the id of the example and the features until the segments are removed",
    "models and bundles": "a model's trees and its golden rows hold no id; a digest names them as evidence",
    "features of other examples": "sums over several entities include these rows until their days are built again; "
    "they hold no id",
    "files outside the installation": "sources of loads, exports, rejected rows and backups; the installation does not "
    "know where they are. Remove them by hand; after restoring a backup, erase again",
    "history of the warehouse": "Snowflake keeps deleted rows for the retention time of Time Travel and Fail-safe; a "
    "DuckDB file keeps them in free pages until they are overwritten",
    "online state": "this version keeps none",
}
"""What cannot be erased, and why."""


class Erasure(msgspec.Struct, frozen=True):
    """Record of one erasure; the entity is named by the keyed hash only."""

    customer_hash: str
    by: str
    at: dt.datetime
    reason: str
    rows: dict[str, int]
    """Removed rows by table."""
    training_sets: dict[str, int]
    """Removed rows by model and snapshot, each of which has a tombstone."""
    remains: dict[str, str]


def erase(settings: Settings, entity: str, *, by: str, reason: str, kind: str | None = None) -> Erasure:
    """Remove an entity; idempotent, also after a crash at any point.

    Parameters
    ----------
    entity
        Its id, as the raw tables have it.
    kind
        Kind of entity, as the raw tables declare it; ``None`` if only one was ever loaded.

    Raises
    ------
    LifecycleError
        If the kind is unknown, the id is not of its type, the reason is blank or contains the id, or a store cannot be
        written.
    """
    plan = erasure_plan(settings, entity, kind)
    if not reason.strip() or plan.entity in reason:
        raise LifecycleError("Expected a reason without the customer's id, since it is recorded - at --reason")
    key_hash = key_hash_of(settings)
    entity_hash = key_hash(plan.entity)
    _leave_tombstones(open_warehouse(settings, Use("load")), plan, key_hash)
    crash_point("erasure.tombstones")
    progress = _counted(settings, plan, entity_hash)
    crash_point("erasure.counted")
    _delete(settings, "transform", plan.built)
    crash_point("erasure.marts")
    _delete(settings, "log", plan.decisions(entity_hash))
    crash_point("erasure.decisions")
    training_sets = {
        f"{name}/{snapshot}": count
        for name, spec in plan.models.items()
        for snapshot, count in TrainingSetStore(settings.training_sets_dir, name)
        .erase(spec, plan.entity, entity_hash)
        .items()
    }
    _delete(settings, "load", plan.raw)
    crash_point("erasure.raw")
    remains = {**REMAINS, **plan.remains}
    record = Erasure(entity_hash, by, progress.at, reason, progress.rows, training_sets, remains)
    _record(settings, record)
    _progress_file(settings, entity_hash).unlink(missing_ok=True)
    return record


def _leave_tombstones(warehouse: Warehouse, plan: ErasurePlan, key_hash: KeyHash) -> None:
    import pyarrow as pa

    warehouse.ensure(raw_definitions(warehouse.dialect))
    with warehouse.session("erasing an entity") as session, session.transaction(serial="loads"):
        found = session.query(f"select kind, key_hash from {ERASED_TABLE}").to_pylist()
        known = {(row["kind"], row["key_hash"]) for row in found}
        keys = [(plan.kind, plan.entity)]
        for key_kind, sql in plan.keys.items():
            ids = session.query(sql, [plan.entity]).column(0)
            keys += [(key_kind, value) for value in ids.to_pylist()]
        new = [tombstone for kind, value in keys if (tombstone := (kind, key_hash(value))) not in known]
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        columns = {
            "kind": pa.array([kind for kind, _ in new], pa.string()),
            "key_hash": pa.array([hashed for _, hashed in new], pa.string()),
            "erased_at": pa.array([now] * len(new), pa.timestamp("us")),
        }
        if new:
            session.append(ERASED_TABLE, pa.table(columns))


class _Progress(msgspec.Struct, frozen=True):
    """An erasure that is not complete: its start, by which its record is recognised, and its rows by table."""

    at: dt.datetime
    rows: dict[str, int]


def _progress_file(settings: Settings, entity_hash: str) -> Path:
    return settings.erasures_dir / f"{entity_hash}.counted"


def _counted(settings: Settings, plan: ErasurePlan, entity_hash: str) -> _Progress:
    """Start of this erasure and its rows by table, with those that an interrupted call has already deleted."""
    rows = (
        _delete(settings, "transform", plan.built, is_counting=True)
        | _delete(settings, "log", plan.decisions(entity_hash), is_counting=True)
        | _delete(settings, "load", plan.raw, is_counting=True)
    )
    file, at = _progress_file(settings, entity_hash), dt.datetime.now(dt.UTC)
    if file.exists():
        earlier = msgspec.json.decode(file.read_bytes(), type=_Progress)
        at = earlier.at
        rows = {table: max(count, earlier.rows.get(table, 0)) for table, count in rows.items()}
    progress = _Progress(at, rows)
    write_file(file, msgspec.json.encode(progress))
    return progress


def _delete(settings: Settings, step: Step, rows: Mapping[str, Rows], *, is_counting: bool = False) -> dict[str, int]:
    """Delete the matching rows of the tables that exist, or count them; returns their numbers."""
    return delete_rows(settings, step, rows, "erasing an entity", is_counting=is_counting)


def _record(settings: Settings, record: Erasure) -> None:
    """Write the record under the next number, once for each erasure; one that repeats and removes nothing adds none."""
    files = list(settings.erasures_dir.glob("*.json"))
    earlier = [msgspec.json.decode(file.read_bytes(), type=Erasure) for file in files]
    same = [known for known in earlier if known.customer_hash == record.customer_hash]
    # A call that was killed after writing its record has left its start.
    if any(known.at == record.at for known in same) or (same and not any(record.rows.values())):
        return
    content, number = msgspec.json.format(msgspec.json.encode(record), indent=2), len(files) + 1
    while not create_once(
        settings.erasures_dir / f"{number:06d}-{record.customer_hash}.json", content, "erasure.record"
    ):
        number += 1


def record_numbers(settings: Settings) -> dict[str, list[int]]:
    """Numbers of the erasure records by the customer's keyed hash."""
    numbers: dict[str, list[int]] = {}
    for file in sorted(settings.erasures_dir.glob("*.json")):
        number, _, customer_hash = file.stem.partition("-")
        numbers.setdefault(customer_hash, []).append(int(number))
    return numbers
