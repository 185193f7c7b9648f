"""Columns of a mart, from its contract in a dbt project, so that a model is checked without a warehouse."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lifecycle.errors import LifecycleError
from lifecycle.spec.dbt_projects import property_files, read_yaml
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.suggestions import suggestion

_WHOLE = ("bigint", "integer", "smallint", "int")
TYPES_OF = {
    "int": (*_WHOLE, "boolean"),
    "float": ("double", "float", "real", "decimal", "numeric", *_WHOLE),
    "category": ("varchar", "text", "string"),
}
"""Types of a mart's contract by the dtype of a feature that can be read from them."""


def mart_columns(projects: Sequence[Path], model: str) -> dict[str, str]:
    """Columns of a dbt model with the types its contract declares.

    Raises
    ------
    LifecycleError
        If no property file below a project's ``models/`` describes the model.
    """
    return {column["name"]: column.get("data_type", "") for column in _described_columns(projects, model)}


def feature_descriptions(spec: RiskModelSpec, projects: Sequence[Path]) -> dict[str, str]:
    """Meanings of a model's features and facts by name: the descriptions of the mart's columns, each on one line.

    Empty if no property file describes the mart: texts for people never hold up a release.
    """
    try:
        columns = _described_columns(projects, spec.mart)
    except LifecycleError:
        return {}
    texts = {column["name"]: " ".join(column.get("description", "").split()) for column in columns}
    names = (*spec.feature_names, *(fact.name for fact in spec.facts))
    return {name: texts[name] for name in names if texts.get(name)}


def _described_columns(projects: Sequence[Path], model: str) -> list[dict[str, Any]]:
    known: list[str] = []
    unread: list[str] = []
    for path in (path for project in projects for path in property_files(project)):
        try:
            document = read_yaml(path).document
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            unread.append(f"{path} ({' '.join(str(error).split())})")
            continue
        models = document.get("models") if isinstance(document, dict) else None
        for described in models if isinstance(models, list) else []:
            known.append(described["name"])
            if described["name"] == model:
                columns: list[dict[str, Any]] = described.get("columns") or []
                return columns
    left_out = f"; cannot read {', '.join(unread)}" if unread else ""
    near = suggestion(model, known, "dbt model")
    raise LifecycleError(
        f"Expected a dbt model that is described, got {model!r}{near} - in {', '.join(map(str, projects))}{left_out}"
    )


def columns_of_mart(spec: RiskModelSpec) -> dict[str, str]:
    """The columns of the mart that a model reads, by the key of the model's file that names each."""
    label = spec.label
    columns = {f"examples.columns.{key}": name for key, name in spec.columns.model_dump(exclude_none=True).items()}
    columns |= {f"features.{index}.name": feature.name for index, feature in enumerate(spec.features)}
    columns |= {f"examples.clusters.{index}": name for index, name in enumerate(spec.examples.clusters)}
    columns |= {f"facts.{index}.name": fact.name for index, fact in enumerate(spec.facts)}
    if label.column is not None:
        columns |= {"label.column": label.column, "label.known_at": label.known_column}
    return columns


def columns_of_outcomes(spec: RiskModelSpec) -> dict[str, str]:
    """The same of the outcomes of labels by report."""
    columns = {"label.reported_at": spec.label.reported_at, "examples.columns.id": spec.columns.id}
    columns["examples.columns.occurred_at"] = spec.columns.occurred_at
    if spec.label.withdrawn_at:
        columns["label.withdrawn_at"] = spec.label.withdrawn_at
    return columns


def check_columns(spec: RiskModelSpec, projects: Sequence[Path], where: str) -> None:
    """Check that the mart and the outcomes have every column that a model names.

    Raises
    ------
    LifecycleError
        With the file, the key and the existing columns.
    """
    mart = _columns_for("examples.mart", projects, spec.mart, where)
    _expect(columns_of_mart(spec), mart, spec.mart, where)
    _expect_types(spec, mart, where)
    if spec.label.relation is not None:
        outcomes = _columns_for("label.relation", projects, spec.label.relation, where)
        _expect(columns_of_outcomes(spec), outcomes, spec.label.relation, where)


def _columns_for(key: str, projects: Sequence[Path], model: str, where: str) -> dict[str, str]:
    try:
        return mart_columns(projects, model)
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
        f"at `{key}.{index}.dtype`"
        for key, fields in (("features", spec.features), ("facts", spec.facts))
        for index, feature in enumerate(fields)
        if (declared := columns[feature.name].lower())
        and declared.partition("(")[0].strip() not in TYPES_OF[feature.dtype]
    ]
    if wrong:
        raise LifecycleError(f"Expected columns of {spec.mart} with fitting types: {'; '.join(wrong)} - in {where}")


def _similar(name: str, columns: Mapping[str, str]) -> str:
    similar = difflib.get_close_matches(name, columns, n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""
