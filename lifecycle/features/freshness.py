"""Age of the raw tables' last loads, compared with the limits of dbt's sources."""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from lifecycle.features.dbt import run_dbt
from lifecycle.features.manifest import ensure_project, reuse_parsing
from lifecycle.features.project import TRANSFORM, dbt_state_dir
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use, open_warehouse

Status = Literal["pass", "warn", "error", "unused"]
"""Unused: no table of the same dbt package was ever loaded, while others were, so that no model misses it."""

HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0}
NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Value of `macros/last_load_of.sql` for a table without a load."""


@dataclass(frozen=True)
class SourceFreshness:
    """Freshness of one raw table. The limits of `age_hours` are ``None`` if there is no limit."""

    relation: str
    status: Status
    loaded_at: dt.datetime | None
    """Last load that inserted rows, UTC; ``None`` if there was no such load."""
    age_hours: float | None
    warn_after_hours: float | None
    error_after_hours: float | None
    fault: str | None = None
    """Why dbt could not read the last load."""

    def as_document(self) -> dict[str, object]:
        """The fields as JSON types."""
        return {**vars(self), "loaded_at": self.loaded_at.isoformat() if self.loaded_at else None}


def read_freshness(settings: Settings, use: Use = TRANSFORM) -> tuple[SourceFreshness, ...]:
    """Run ``dbt source freshness``; a stale table is a result, not an error.

    Raises
    ------
    LifecycleError
        If dbt reads nothing, or a setting of the Snowflake account is missing or wrong.
    """
    target_path = dbt_state_dir(settings) / "freshness"
    written = target_path / "sources.json"
    with open_warehouse(settings, use).exclusive("reading the sources' freshness"):
        project = ensure_project(settings).folder
        reuse_parsing(settings, target_path)
        written.unlink(missing_ok=True)
        run = run_dbt(settings, ["source", "freshness"], target_path=target_path, use=use, project=project)
    if not written.is_file():
        run.expect_success("to read the sources' freshness")
    return _read(written, run.log_path)


def _read(written: Path, log_path: Path) -> tuple[SourceFreshness, ...]:
    results = json.loads(written.read_text())["results"]
    packages = {_relation(result): result["unique_id"].split(".")[1] for result in results}
    sources = [_freshness(result, log_path) for result in results]
    in_use = {packages[source.relation] for source in sources if source.loaded_at or source.fault}
    judged = [
        source if packages[source.relation] in in_use or not in_use else dataclasses.replace(source, status="unused")
        for source in sources
    ]
    return tuple(sorted(judged, key=lambda source: source.relation))


def _freshness(result: Mapping[str, Any], log_path: Path) -> SourceFreshness:
    if result["status"] not in {"pass", "warn", "error"}:
        got = " ".join((result.get("error") or "no message").split())
        fault = f"Expected dbt to read when {_relation(result)} was loaded, got {got} - see {log_path}"
        return SourceFreshness(_relation(result), "error", None, None, None, None, fault)
    loaded_at = dt.datetime.fromisoformat(result["max_loaded_at"])
    is_loaded = loaded_at > NEVER
    criteria = result["criteria"]
    return SourceFreshness(
        relation=_relation(result),
        status=cast("Status", result["status"]),
        loaded_at=loaded_at if is_loaded else None,
        age_hours=result["max_loaded_at_time_ago_in_s"] / 3600 if is_loaded else None,
        warn_after_hours=_hours(criteria["warn_after"]),
        error_after_hours=_hours(criteria["error_after"]),
    )


def _relation(result: Mapping[str, Any]) -> str:
    return ".".join(result["unique_id"].split(".")[2:])


def _hours(limit: Mapping[str, Any] | None) -> float | None:
    return limit["count"] * HOURS[limit["period"]] if limit and limit["count"] is not None else None
