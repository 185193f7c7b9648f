import json
from types import SimpleNamespace
from typing import Any

import pytest

from serving.contract.schema_rules import ENVELOPE
from serving.errors import DecisionConflictError
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.protocol_steps import Scripted, deployed, record
from tests.harness.small_models import EXAMPLE, MODEL, SmallStore, as_features, examples, golden_rows, score_request

URL = "/invocations"
SECRET = "4929123123123"
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}


def two_models() -> dict[str, Any]:
    return {name: SimpleNamespace(champion=deployed(3), canary=None, shadow=None) for name in (MODEL, "credit")}


def csv_of(*records: dict[str, Any]) -> bytes:
    lines = [",".join("" if value is None else str(value) for value in each.values()) for each in records]
    return "\n".join((",".join(records[0]), *lines)).encode()


def test_predictions_are_the_native_routes_answers_and_are_in_the_same_log(store: SmallStore) -> None:
    store.publish(1)
    rows = [as_features(row) for row in examples()[0][:8]]
    with InProcessClient(create_app(settings_of(store))) as client:
        response = client.post(URL, json={"dataframe_records": [record(f"d{n}", **row) for n, row in enumerate(rows)]})
        native = client.post(f"/v1/models/{MODEL}/score", json=score_request("d7", features=rows[7])).json()
        as_csv = client.post(URL, content=csv_of(record("c", **rows[0])), headers=CSV).json()["predictions"][0]
        logged = [record.decision_id for record in store.decisions()]
    predictions = response.json()["predictions"]
    assert response.status_code == 200
    assert [each["margin"] for each in predictions] == [row.margin for row in golden_rows(1)]
    assert predictions[7] == native
    assert as_csv == predictions[0] | {"decision_id": "c"}
    assert logged == [*(f"d{n}" for n in range(8)), "c"]


ALL = [*ENVELOPE, *EXAMPLE]


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"amount": -1.0}, "Expected `float` >= 0.0 - at `$.dataframe_records[1].amount`"),
        ({"amount": None}, "Expected `float`, got `null` - at `$.dataframe_records[1].amount`"),
        ({"is_night": 0.5}, "Expected `int`, got `float` - at `$.dataframe_records[1].is_night`"),
        ({"kind": SECRET}, "Expected one of ['online', 'shop', 'travel'] - at `$.dataframe_records[1].kind`"),
        (
            {SECRET: 1},
            f"Expected only the columns {ALL}, got another one as number 9 - at `$.dataframe_records[1]`",
        ),
    ],
)
def test_an_invalid_row_refuses_them_all_and_is_placed_in_the_table(
    store: SmallStore, changes: dict[str, Any], violation: str
) -> None:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store))) as client:
        response = client.post(URL, json={"dataframe_records": [record("d1"), record("d2", **changes)]})
    assert response.status_code == 422
    assert response.json() == {"error_code": "InvalidRequest", "message": violation}
    assert store.decisions() == []


def test_a_fault_in_csv_is_placed_at_its_line(store: SmallStore) -> None:
    store.publish(1)
    with InProcessClient(create_app(settings_of(store))) as client:
        response = client.post(URL, content=csv_of(record("d1"), record("d2", amount=-1)), headers=CSV)
    assert response.json()["message"] == "Expected `float` >= 0.0 - at `line 3, column amount`"


@pytest.mark.parametrize(
    ("models", "setting", "params", "expected"),
    [
        ([MODEL], None, {}, MODEL),
        ([MODEL, "credit"], "credit", {}, "credit"),
        ([MODEL, "credit"], "credit", {"model": MODEL}, MODEL),
        ([MODEL, "credit"], None, {"model": "credit"}, "credit"),
        ([MODEL, "credit"], None, {}, "Expected the model's name in params.model, since 2 models are served"),
        ([], None, {}, "Expected the model's name in params.model, since 0 models are served"),
        ([MODEL], None, {"model": SECRET}, f"Expected one of the models ['{MODEL}'], got another one"),
    ],
)
def test_a_request_names_its_model_where_several_are_served(
    models: list[str], setting: str | None, params: dict[str, Any], expected: str
) -> None:
    scripted = Scripted(models={name: two_models()[name] for name in models})
    with InProcessClient(scripted.app(mlflow_model=setting)) as client:
        answer = client.post(URL, json={"instances": [record()], "params": params}).json()
    if "predictions" in answer:
        assert answer["predictions"][0]["model"] == expected
    else:
        assert answer["message"].startswith(expected)


def test_reasons_are_asked_for_by_a_parameter() -> None:
    scripted = Scripted()
    with InProcessClient(scripted.app()) as client:
        client.post(URL, json={"instances": [record()], "params": {"explain": True}})
        client.post(URL, json={"instances": [record()]})
    assert [context.is_explained for context in scripted.contexts] == [True, False]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ('application/json;charset="utf-8"', 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; format=pandas-split", 415),
        ("application/vnd.apache.parquet", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        (None, 415),
        (SECRET, 415),
    ],
)
def test_only_json_and_csv_in_utf_8_are_read(content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    scripted = Scripted()
    with InProcessClient(scripted.app()) as client:
        response = client.post(URL, content=json.dumps({"instances": [record()]}).encode(), headers=headers)
    assert response.status_code == status
    assert SECRET not in response.text
    assert len(scripted.decided) == (1 if status == 200 else 0)


def test_a_batch_is_limited_in_json_and_in_csv() -> None:
    scripted = Scripted()
    records = [record(f"d{n}") for n in range(3)]
    with InProcessClient(scripted.app(max_batch=2)) as client:
        codes = [
            client.post(URL, json={"inputs": records}).status_code,
            client.post(URL, content=csv_of(*records), headers=CSV).status_code,
            client.post(URL, content=csv_of(*records[:2]), headers=CSV).status_code,
        ]
    assert codes == [422, 422, 200]


def test_health_and_version_are_not_admitted_by_the_route() -> None:
    scripted = Scripted(refusal=DecisionConflictError("Expected a key"))
    with InProcessClient(scripted.app()) as client:
        assert [client.get(path).status_code for path in ("/ping", "/health", "/version")] == [200] * 3
        scripted.violations = ["no model is loaded"]
        response = client.get("/ping")
        assert response.status_code == 503
        assert response.json()["message"] == "Expected a server that is ready, but no model is loaded"
        refused = client.post(URL, json={})
    assert refused.status_code == 409
    assert refused.json() == {"error_code": "DecisionConflict", "message": "Expected a key"}
    assert scripted.begun == 1
    assert scripted.refused == ["ModelNotReady", "DecisionConflict"]
