"""What a backtest was asked: its dates, its two recipes, and the training sets that both recipes read."""

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.artefacts.lineage import code_commit, library_versions
from lifecycle.errors import LifecycleError
from lifecycle.modelling.splits import snapshot_days
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.external_files import external_path, read_file
from lifecycle.spec.risk_model import RiskModelSpec

MAXIMUM_DATES = 366
_PERIODS = {"day": 1, "week": 7}
_PROJECT_FILES = {".sql", ".yml", ".yaml", ".csv"}


@dataclass(frozen=True)
class Asked:
    """A backtest that was asked for."""

    spec: RiskModelSpec
    against: RiskModelSpec | None
    dates: tuple[dt.date, ...]
    jobs: int

    @property
    def snapshot_spec(self) -> RiskModelSpec:
        """The model with the features of both recipes and the longer of their windows: what a training set holds."""
        if self.against is None:
            return self.spec
        ours, theirs = self.spec, self.against
        names = set(ours.feature_names)
        features = (*ours.features, *(feature for feature in theirs.features if feature.name not in names))
        longest = max((ours, theirs), key=_span_days)
        return ours.model_copy(update={"features": features, "training": longest.training})


def dates_between(first: dt.date, last: dt.date, every: str) -> tuple[dt.date, ...]:
    """The dates from `first` to `last`, both included.

    Parameters
    ----------
    every
        Days between two dates, or ``day`` or ``week``.

    Raises
    ------
    LifecycleError
        If there is no date, or more than `MAXIMUM_DATES`.

    Examples
    --------
    >>> [str(date) for date in dates_between(dt.date(2026, 1, 1), dt.date(2026, 1, 20), "week")]
    ['2026-01-01', '2026-01-08', '2026-01-15']
    """
    days = _PERIODS.get(every) or (int(every) if every.isdecimal() else 0)
    if days < 1:
        raise LifecycleError(f"Expected a number of days, `day` or `week`, got {every!r} - at `--every`")
    if first > last:
        raise LifecycleError(f"Expected --from no later than --to, got {first} and {last}")
    count = (last - first).days // days + 1
    if count > MAXIMUM_DATES:
        raise LifecycleError(f"Expected at most {MAXIMUM_DATES} dates, got {count}; take a larger --every")
    return tuple(first + dt.timedelta(days=days * number) for number in range(count))


def expect_comparable(spec: RiskModelSpec, against: RiskModelSpec) -> None:
    """Refuse two models whose holdouts are not the same rows with the same outcomes.

    Raises
    ------
    LifecycleError
        With each key that differs.
    """
    ours, theirs = _holdout(spec), _holdout(against)
    differing = sorted(name for name in ours if ours[name] != theirs[name])
    shared = {feature.name: feature for feature in spec.features}
    retyped = sorted(
        feature.name
        for feature in against.features
        if feature.name in shared
        and (shared[feature.name].dtype, shared[feature.name].categories) != (feature.dtype, feature.categories)
    )
    if differing or retyped:
        keys = ", ".join([*differing, *(f"features.{name}" for name in retyped)])
        raise LifecycleError(f"Expected the other model's file to have the same holdout, it differs in {keys}")


def asked_document(settings: Settings, asked: Asked) -> dict[str, Any]:
    """Everything that a date's result depends on but its training set and its champion."""
    return {
        "model": asked.spec.model_dump(mode="json"),
        "against": asked.against.model_dump(mode="json") if asked.against else None,
        "external_models": [_external_digest(spec) for spec in (asked.spec, asked.against) if spec is not None],
        "dbt_projects": [project_digest(folder) for folder in dbt_projects(settings)],
        "code_commit": code_commit(),
        "libraries": library_versions(),
    }


def _external_digest(spec: RiskModelSpec) -> str | None:
    """Digest of the file of a model that was trained elsewhere, which its path does not name."""
    declared = spec.training.estimator.external
    if declared is None:
        return None
    return hashlib.sha256(read_file(external_path(spec.name, declared.file))).hexdigest()


def project_digest(folder: Path) -> str:
    """Digest of a dbt project's models, macros, tests and settings."""
    files = (path for path in folder.rglob("*") if path.suffix in _PROJECT_FILES and "target" not in path.parts)
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _span_days(spec: RiskModelSpec) -> int:
    start, end = snapshot_days(dt.date(2000, 1, 1), spec.training, spec.label.maturity_days, spec.examples.cadence)
    return (end - start).days


def _holdout(spec: RiskModelSpec) -> dict[str, Any]:
    """The keys that decide which rows a holdout has, and their outcomes."""
    return {
        "examples": spec.examples,
        "label": spec.label,
        "training.holdout": spec.training.holdout,
        "decision": spec.decision,
        "gates.confidence": spec.gates.confidence,
    }
