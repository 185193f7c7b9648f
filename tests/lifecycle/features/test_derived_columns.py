"""The shipped model's derived features: as dbt renders them into the mart, and as the server computes them."""

import datetime as dt
import random
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lifecycle.errors import LifecycleError
from lifecycle.features.dbt import run_dbt
from lifecycle.local.snowflake import LocalSnowflake
from lifecycle.settings.platform import Settings
from lifecycle.spec.derived_sql import column_sql
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import open_warehouse
from serving.contract.derivation import completion, is_derived, request_fields
from serving.contract.row_compiler import RowError
from serving.errors import InvalidRequestError
from serving.wire.score_request import RequestReader
from tests.harness import random_expressions
from tests.harness.derived_evaluators import bits, online, random_features
from tests.harness.random_expressions import FIELDS

REQUESTS = 100_000
DERIVED = ("is_weekend", "is_night", "customer_amount_ratio_30d", "customer_max_amount_ratio_7d")


@pytest.fixture(scope="module")
def spec() -> RiskModelSpec:
    return read_model("card_fraud")


def request_of(draw: random.Random, spec: RiskModelSpec) -> dict[str, Any]:
    """Fields of a request that the schema allows, and a moment."""
    fields: dict[str, Any] = {}
    for field in spec.request_fields:
        low = field.minimum or 0
        if field.dtype == "int":
            fields[field.name] = int(low) + draw.randrange(1000 if field.maximum is None else 1 + int(field.maximum))
        elif field.name.startswith(("customer_", "amount")):
            awkward = abs(random_expressions.number(draw))
            fields[field.name] = draw.choice((0.0, -0.0, awkward, round(draw.random() * 999, 2)))
        else:
            fields[field.name] = low + draw.random() * ((field.maximum or 1e6) - low)
    return fields | {"occurred_at": random_expressions.moment(draw)}


def select_of_mart(compiled: Path) -> str:
    """The part of the mart's compiled SQL that makes its columns from the fields."""
    (path,) = compiled.rglob("card_transaction_features.sql")
    found = re.search(r"final as \((?P<select>.*)\)\s*select \* from final", path.read_text(), re.DOTALL)
    assert found is not None
    return found["select"]


@pytest.mark.long
def test_the_mart_and_the_server_give_the_same_bits_for_random_requests(compiled: Path, spec: RiskModelSpec) -> None:
    draw = random.Random(20180401)
    requests = [request_of(draw, spec) for _ in range(REQUESTS)]
    columns = {name: [request[name] for request in requests] for name in requests[0]}
    whole = {field.name for field in spec.request_fields if field.dtype == "int"}
    facts = pa.table(
        {name: pa.array(values, pa.int64() if name in whole else None) for name, values in columns.items()}
        | {"occurred_at": pa.array(columns["occurred_at"], pa.timestamp("us"))}
        | {name: pa.array(range(REQUESTS), pa.int64()) for name in ("transaction_id", "customer_id", "terminal_id")}
    )
    with duckdb.connect() as connection:
        connection.register("facts", facts)
        built = connection.execute(
            f"select {', '.join(DERIVED)} from ({select_of_mart(compiled)}) order by transaction_id"
        ).fetchall()
    schema = spec.contract_features
    complete, at = completion(schema, spec.contract_facts), [spec.feature_names.index(name) for name in DERIVED]
    refused = 0
    for request, offline in zip(requests, built, strict=True):
        *fields, moment = request.values()
        try:
            row = complete(tuple(fields), moment)
        except RowError as error:
            refused += 1
            feature = error.feature.name
            if offline[DERIVED.index(feature)] is not None:
                raise AssertionError(f"the mart has a value of {feature}") from error
            continue
        assert [bits(row[index]) for index in at] == [bits(value) for value in offline], request
    assert REQUESTS / 1000 < refused < REQUESTS / 3


def test_an_amount_of_the_mart_is_the_double_that_a_request_carries(compiled: Path, spec: RiskModelSpec) -> None:
    """Decimals are read as text for training, cast in the mart, and parsed from JSON in the server."""
    amounts = [
        f"{cents // 100}.{cents % 100:02d}" for cents in (*range(0, 30_000, 7), 999_999_999_999, 123_456_789_012)
    ]
    expression = column_sql(spec.contract_features[15], {field.name: field for field in spec.request_fields})
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select {expression} from (select cast(unnest($1) as decimal(12, 2)) as amount, "
            "cast('0.1' as double) as customer_mean_amount_30d)",
            [amounts],
        ).fetchall()
    assert [bits(row[0]) for row in rows] == [bits(float(amount) / 0.1) for amount in amounts]


def test_no_request_contradicts_itself(spec: RiskModelSpec) -> None:
    draw = random.Random(7)
    reader = RequestReader(spec.contract_features, facts=spec.contract_facts)
    accepted = 0
    for number in range(2000):
        fields = request_of(draw, spec)
        moment = fields.pop("occurred_at").replace(tzinfo=dt.UTC)
        request = {"decision_id": f"d{number}", "transaction_id": "t", "entity_key": "e", "occurred_at": moment}
        try:
            row: dict[str, Any] = dict(
                zip(spec.feature_names, reader.convert(request | {"features": fields}).values, strict=True)
            )
        except InvalidRequestError as error:
            if error.feature not in DERIVED:
                raise
            continue
        accepted += 1
        sent = fields | {name: row[name] for name in DERIVED}
        assert reader.convert(request | {"features": sent}).derived_sent == len(DERIVED)
        for name in DERIVED:
            value = (
                1 - row[name] if name.startswith("is_") else draw.choice((row[name] + 1.0, row[name] / 2 + 0.25, 33.54))
            )
            if value == row[name]:
                continue
            with pytest.raises(InvalidRequestError) as refused:
                reader.convert(request | {"features": fields | {name: value}})
            assert (refused.value.feature, refused.value.fault) == (name, "contradiction")
    assert accepted > 1500


def test_a_request_carries_every_input_that_does_not_follow_from_it(spec: RiskModelSpec) -> None:
    fields = [field.name for field in request_fields(spec.contract_features, spec.contract_facts)]
    assert [feature.name for feature in spec.contract_features if is_derived(feature)] == list(DERIVED)
    assert sorted(fields) == sorted({*spec.feature_names, "customer_max_amount_7d"} - set(DERIVED))


@pytest.mark.long
def test_a_feature_that_no_model_derives_is_an_error_of_the_build(loaded: Settings, tmp_path: Path) -> None:
    with open_warehouse(loaded).exclusive("compiling"):
        run = run_dbt(
            loaded,
            ["compile", "--inline", "select {{ derived('card_fraud', 'is_wekend') }} as x"],
            target_path=tmp_path / "target",
        )
    expected = "Expected one of the derived features .*is_weekend.* of the model card_fraud, got is_wekend"
    with pytest.raises(LifecycleError, match=expected):
        run.expect_success("to compile")


@pytest.mark.long
def test_the_sql_passes_the_local_snowflake_endpoint_with_the_same_bits(
    endpoint: LocalSnowflake, tmp_path: Path
) -> None:
    """Proves that the SQL is read as Snowflake's and means the same there, not that an account rounds alike.

    The endpoint parses a statement as Snowflake's and runs it on DuckDB.
    """
    draw = random.Random(11)
    features = [feature for feature in random_features(draw, 60) if len(sql_of(feature)) < 3000][:30]
    rows = [random_expressions.row(draw) for _ in range(20)]
    selects = [f"select {number} as place, {', '.join(constants(row))}" for number, row in enumerate(rows)]
    inline = " union all ".join(selects)
    columns = ", ".join(f"{sql_of(feature)} as {feature.name}" for feature in features)
    warehouse = open_warehouse(endpoint.settings(tmp_path))
    found = warehouse.query(f"select {columns} from ({inline}) as examples order by place").to_pylist()
    assert len(features) >= 20
    for ours, theirs in zip(online(features, FIELDS, rows), found, strict=True):
        named = {name.lower(): value for name, value in theirs.items()}
        for feature, value in zip(features, ours, strict=True):
            other = named[feature.name]
            other = int(other) if feature.dtype == "int" and other is not None else other
            assert bits(value) == bits(other), feature.derivation


def sql_of(feature: Any) -> str:
    return column_sql(feature, {field.name: field for field in FIELDS})


def constants(row: tuple[Any, ...]) -> list[str]:
    """A row as columns of SQL."""
    kinds = {"float": "double", "int": "bigint", "category": "varchar"}
    columns = [
        f"cast({'null' if value is None else repr(str(value))} as {kinds[field.dtype]}) as {field.name}"
        for field, value in zip(FIELDS, row[:-1], strict=True)
    ]
    return [*columns, f"cast('{row[-1].isoformat(sep=' ')}' as timestamp without time zone) as occurred_at"]
