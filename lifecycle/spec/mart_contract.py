"""Columns of a mart, from its contract in the dbt project, so that a model is checked without a warehouse."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lifecycle.errors import LifecycleError
from lifecycle.spec.risk_model import RiskModelSpec

_WHOLE = ("bigint", "integer", "smallint", "int")
TYPES_OF = {
    "int": (*_WHOLE, "boolean"),
    "float": ("double", "float", "real", "decimal", "numeric", *_WHOLE),
    "category": ("varchar", "text", "string"),
}
"""Types of a mart's contract by the dtype of a feature that can be read from them."""


def mart_columns(dbt_project_dir: Path, model: str) -> dict[str, str]:
    """Columns of a dbt model with the types its contract declares.

    Raises
    ------
    LifecycleError
        If no property file below ``models/`` describes the model.
    """
    return {column["name"]: column.get("data_type", "") for column in _described_columns(dbt_project_dir, model)}


def feature_descriptions(spec: RiskModelSpec, dbt_project_dir: Path) -> dict[str, str]:
    """Meanings of a model's features by name: the descriptions of the mart's columns, each on one line.

    Empty if no property file describes the mart: texts for people never hold up a release.
    """
    try:
        columns = _described_columns(dbt_project_dir, spec.mart)
    except LifecycleError:
        return {}
    texts = {column["name"]: " ".join(column.get("description", "").split()) for column in columns}
    return {name: texts[name] for name in spec.feature_names if texts.get(name)}


def _described_columns(dbt_project_dir: Path, model: str) -> list[dict[str, Any]]:
    known: list[str] = []
    for path in sorted((dbt_project_dir / "models").rglob("*.yml")):
        document = yaml.safe_load(path.read_text()) or {}
        for described in document.get("models", []):
            known.append(described["name"])
            if described["name"] == model:
                columns: list[dict[str, Any]] = described.get("columns", [])
                return columns
    raise LifecycleError(f"Expected a dbt model {model}, found {sorted(known)} - in {dbt_project_dir / 'models'}")


def check_columns(spec: RiskModelSpec, dbt_project_dir: Path, where: str) -> None:
    """Check that the mart and the outcomes have every column that a model names.

    Raises
    ------
    LifecycleError
        With the file, the key and the existing columns.
    """
    mart = _columns_for("examples.mart", dbt_project_dir, spec.mart, where)
    columns = {f"examples.columns.{key}": name for key, name in spec.columns.model_dump(exclude_none=True).items()}
    wanted = columns | {f"features.{index}.name": feature.name for index, feature in enumerate(spec.features)}
    label = spec.label
    if label.column is not None:
        wanted |= {"label.column": label.column, "label.known_at": label.known_column}
    _expect(wanted, mart, spec.mart, where)
    _expect_types(spec, mart, where)
    if label.relation is not None:
        outcomes = _columns_for("label.relation", dbt_project_dir, label.relation, where)
        wanted = {"label.reported_at": label.reported_at, "examples.columns.id": spec.columns.id}
        wanted["examples.columns.occurred_at"] = spec.columns.occurred_at
        if label.withdrawn_at:
            wanted["label.withdrawn_at"] = label.withdrawn_at
        _expect(wanted, outcomes, label.relation, where)


def _columns_for(key: str, dbt_project_dir: Path, model: str, where: str) -> dict[str, str]:
    try:
        return mart_columns(dbt_project_dir, model)
    except LifecycleError as error:
        raise LifecycleError(f"{error} - at `{key}` - in {where}") from error


def _expect(wanted: Mapping[str, str], columns: Mapping[str, str], relation: str, where: str) -> None:
    missing = [f"{name!r} at `{key}`{_similar(name, columns)}" for key, name in wanted.items() if name not in columns]
    if missing:
        raise LifecycleError(
            f"Expected columns of {relation}, missing {', '.join(missing)}; it has {sorted(columns)} - in {where}"
        )


def _expect_types(spec: RiskModelSpec, columns: Mapping[str, str], where: str) -> None:
    """Check that each column has a type that its feature can be read from; a column without a declared type passes."""
    wrong = [
        f"{feature.name!r} has the type {declared}, where {feature.dtype} needs {' or '.join(TYPES_OF[feature.dtype])} "
        f"at `features.{index}.dtype`"
        for index, feature in enumerate(spec.features)
        if (declared := columns[feature.name].lower())
        and declared.partition("(")[0].strip() not in TYPES_OF[feature.dtype]
    ]
    if wrong:
        raise LifecycleError(f"Expected columns of {spec.mart} with fitting types: {'; '.join(wrong)} - in {where}")


def _similar(name: str, columns: Mapping[str, str]) -> str:
    similar = difflib.get_close_matches(name, columns, n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""
