"""Both evaluators of expressions: DuckDB on the SQL of a mart, and the server's compiled function."""

import datetime as dt
import random
import struct
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from lifecycle.spec.derived import DerivedError, parse
from lifecycle.spec.derived_sql import column_sql
from serving.contract.derivation import completion
from serving.contract.documents import Feature
from serving.contract.row_compiler import Row
from serving.contract.schema_rules import schema_violations
from tests.harness import random_expressions
from tests.harness.random_expressions import FIELDS

TYPES = {"float": pa.float64(), "int": pa.int64(), "category": pa.string()}


def table_of(fields: Sequence[Feature], rows: Sequence[Row]) -> pa.Table:
    columns = {field.name: pa.array([row[at] for row in rows], TYPES[field.dtype]) for at, field in enumerate(fields)}
    return pa.table(columns | {"occurred_at": pa.array([row[-1] for row in rows], pa.timestamp("us"))})


def offline(features: Sequence[Feature], fields: Sequence[Feature], table: pa.Table) -> list[Row]:
    named = {field.name: field for field in fields}
    columns = ", ".join(f"{column_sql(feature, named)} as {feature.name}" for feature in features)
    with duckdb.connect() as connection:
        connection.register("examples", table)
        rows: list[Row] = connection.execute(f"select {columns} from examples").fetchall()
    return rows


def online(
    features: Sequence[Feature], fields: Sequence[Feature], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    complete = completion(features, fields)
    return [complete(row[:-1], row[-1].replace(tzinfo=dt.UTC)) for row in rows]


def bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def derived(sql: str, dtype: Any = "float", name: str = "x", **options: Any) -> Feature:
    nullable: dict[str, Any] = {"is_nullable": True} | options
    return Feature(name=name, dtype=dtype, source="derived", derivation=parse(sql), **nullable)


def is_valid(feature: Feature) -> bool:
    try:
        column_sql(feature, {field.name: field for field in FIELDS})
    except DerivedError:
        return False
    return not list(schema_violations([feature], facts=FIELDS))


def random_features(draw: random.Random, count: int) -> list[Feature]:
    """Features with random expressions that the rules accept."""
    features: list[Feature] = []
    while len(features) < count:
        dtype = draw.choice(("float", "float", "int", "category"))
        depth = draw.randrange(1, 5)
        sql = (random_expressions.text if dtype == "category" else random_expressions.numeric)(draw, depth)
        options = {"categories": ("gold", "shop", "rest"), "other": "rest"} if dtype == "category" else {}
        try:
            feature = derived(sql, dtype, f"x{len(features)}", **options)
        except DerivedError:
            continue
        if is_valid(feature):
            features.append(feature)
    return features
