"""A model with derived features as its callers and auditors see it."""

import contextlib
import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from lifecycle.artefacts.replay import replay_decision
from lifecycle.errors import LifecycleError
from serving.artefacts.signatures import read_public_keys
from serving.process.app import create_app
from tests.harness.api import URL, settings_of
from tests.harness.derived_models import CARRIED, DECIDING, NIGHT, NOON, derived_files, derived_golden
from tests.harness.in_process_client import InProcessClient
from tests.harness.logs import eventually
from tests.harness.small_models import MODEL, SmallStore, score_request

SECRET = 123456.789
READ = "spent_7d, count_7d"
SENT: dict[str, Any] = {"is_night": 0, "mean_amount_7d": 100 / 3}


@contextlib.contextmanager
def served(store: SmallStore, **settings: Any) -> Iterator[InProcessClient]:
    with InProcessClient(create_app(settings_of(store, poll_seconds=3600, **settings))) as client:
        yield client


@pytest.fixture
def client(store: SmallStore) -> Iterator[InProcessClient]:
    store.publish_files(1, derived_files(1))
    with served(store) as client:
        yield client


def facts(decision_id: str = "d1", occurred_at: str = NOON, **features: Any) -> dict[str, Any]:
    return score_request(decision_id, occurred_at=occurred_at, features=CARRIED | features)


def test_a_decision_follows_from_facts_and_is_recorded_with_them(client: InProcessClient, store: SmallStore) -> None:
    night = client.post(URL, json=facts("night", NIGHT)).json()
    noon = client.post(URL, json=facts("noon")).json()
    assert night["margin"] != noon["margin"]
    for record, is_night in zip(store.decisions(), (1, 0), strict=True):
        assert record.features == (250.5, is_night, "travel", 100 / 3)
        assert (record.facts, record.schema_version) == ((100.0, 3), 3)


def test_the_time_decides_in_utc_whatever_zone_a_caller_writes(client: InProcessClient, store: SmallStore) -> None:
    for number, moment in enumerate(("2026-01-31T03:30:00Z", "2026-01-31T08:30:00+05:00", "2026-01-30T22:30:00-05:00")):
        client.post(URL, json=facts(f"d{number}", moment))
    assert [record.features[1] for record in store.decisions() if record.features] == [1, 1, 1]


def test_a_golden_row_gets_its_own_margin(client: InProcessClient) -> None:
    for number, golden in enumerate(derived_golden(1)):
        assert isinstance(golden.facts, dict)
        assert isinstance(golden.occurred_at, dt.datetime)
        carried: dict[str, Any] = {name: golden.features[name] for name in ("amount", "kind")} | golden.facts
        answer = client.post(URL, json=facts(f"g{number}", golden.occurred_at.isoformat(), **carried)).json()
        assert answer["margin"] == golden.margin


def test_derived_features_that_are_sent_agree_or_are_refused(client: InProcessClient, store: SmallStore) -> None:
    assert client.post(URL, json=facts("agrees", **SENT)).status_code == 200
    assert client.post(URL, json=facts("sent_as_a_float", is_night=0.0)).status_code == 200
    for name, value in {
        "is_night": 1, "mean_amount_7d": math.nextafter(100 / 3, 0), "another": SECRET, "null": None,
    }.items():  # fmt: skip
        at = name if name in SENT else "mean_amount_7d"
        response = client.post(URL, json=facts(name, **{at: value}))  # type: ignore[arg-type]
        error = response.json()["error"]
        assert (response.status_code, error["path"]) == (422, f"$.features.{at}")
        read = "occurred_at" if at == "is_night" else READ
        assert error["message"] == f"Expected no value, or the one that follows from {read}"
    assert {(each.feature, each.fault) for each in store.rejections()} == {
        ("is_night", "contradiction"), ("mean_amount_7d", "contradiction"),
    }  # fmt: skip
    assert str(SECRET) not in repr(store.rejections())
    assert f'serving_derived_sent_total{{model="{MODEL}"}} 2.0' in client.get("/metrics").text


def test_a_repeat_with_and_without_derived_features_is_one_decision(client: InProcessClient, store: SmallStore) -> None:
    first = client.post(URL, json=facts("d1"))
    again = client.post(URL, json=facts("d1", **SENT))
    assert (again.status_code, again.content) == (200, first.content)
    assert len(store.decisions()) == 1
    assert client.post(URL, json=facts("d1", NIGHT)).status_code == 409


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"spent_7d": -1.0}, "$.features.spent_7d", "Expected `float` >= 0.0"),
        ({"spent_7d": "a"}, "$.features.spent_7d", "Expected `float`, got `str`"),
        ({"spent_7d": None}, "$.features.spent_7d", "Expected `float`, got `null`"),
        ({"is_night": "yes"}, "$.features.is_night", "Expected `float | null`, got `str`"),
        (
            {"salary": 1},
            "$.features",
            f"Expected only the keys {[*CARRIED]}, got another one",
        ),
        (
            {"spent_7d": 1e9, "count_7d": 1},
            "$.features",
            "Expected fields from which mean_amount_7d has a value within its range; it is derived from " + READ,
        ),
    ],
)
def test_a_request_that_the_schema_does_not_allow_is_refused(
    client: InProcessClient, changes: dict[str, Any], path: str, message: str
) -> None:
    response = client.post(URL, json=facts(**changes))
    error = response.json()["error"]
    assert (response.status_code, error["path"], error["message"]) == (422, path, message)


def test_a_missing_fact_is_named(client: InProcessClient) -> None:
    features = {name: value for name, value in CARRIED.items() if name != "spent_7d"}
    error = client.post(URL, json=score_request(features=features)).json()["error"]
    assert error["message"] == "Expected 4 features, missing ['spent_7d']"


def test_a_division_by_zero_is_the_null_that_the_schema_allows(client: InProcessClient, store: SmallStore) -> None:
    assert client.post(URL, json=facts(count_7d=0)).status_code == 200
    [record] = store.decisions()
    assert record.features == (250.5, 0, "travel", None)
    assert 'serving_feature_missing_total{feature="mean_amount_7d"' in client.get("/metrics").text


def test_an_unseen_category_is_other_where_it_is_declared(client: InProcessClient, store: SmallStore) -> None:
    unseen = client.post(URL, json=facts("unseen", kind="a secret kind")).json()
    other = client.post(URL, json=facts("other", kind="shop")).json()
    assert unseen["margin"] == other["margin"]
    assert [record.features[2] for record in store.decisions() if record.features] == ["shop", "shop"]
    assert f'serving_unseen_categories_total{{model="{MODEL}"}} 1.0' in client.get("/metrics").text
    assert client.post(URL, json=facts("null", kind=None)).json()["error"]["message"] == "Expected `str`, got `null`"


def test_an_unseen_category_is_refused_without_its_value_where_no_other_is_declared(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as client:
        features = {"amount": 1.0, "is_night": 0, "kind": "a secret kind", "mean_amount_7d": None}
        response = client.post(URL, json=score_request(features=features))
    assert (response.status_code, "secret" in response.text) == (422, False)
    assert response.json()["error"]["message"] == "Expected one of ['online', 'shop', 'travel']"
    assert [(each.feature, each.fault) for each in store.rejections()] == [("kind", "category")]


def test_the_description_says_what_to_send(client: InProcessClient) -> None:
    described = client.get(f"/v1/models/{MODEL}").json()
    example = described["example"]
    assert sorted(example["features"]) == sorted(CARRIED)
    assert client.post(URL, json=example).status_code == 200
    assert [feature.get("derivation") for feature in described["features"]][1::2] == [
        "case when extract(hour from occurred_at) <= 6 then 1 else 0 end",
        "spent_7d / count_7d",
    ]
    assert [fact["name"] for fact in described["facts"]] == ["spent_7d", "count_7d"]
    properties = client.get("/openapi.json").json()["components"]["schemas"][f"{MODEL}_Features"]
    assert sorted(properties["required"]) == sorted(CARRIED)
    assert properties["properties"]["is_night"]["deprecated"]


def test_the_foreign_protocols_take_facts_and_compare_derived_features(client: InProcessClient) -> None:
    envelope = {"transaction_id": "t1", "entity_key": "4711", "occurred_at": NOON}
    native = client.post(URL, json=facts("native")).json()["margin"]
    inputs = client.get(f"/v2/models/{MODEL}").json()["inputs"]
    assert [tensor["name"] for tensor in inputs[4:]] == list(CARRIED)
    cases: list[tuple[dict[str, Any], int]] = [({}, 200), (SENT, 200), ({"is_night": 1}, 422)]
    for number, (sent, status) in enumerate(cases):
        row = {"decision_id": f"v2-{number}", **envelope, **CARRIED, **sent}
        kinds = {str: "BYTES", int: "INT64", float: "FP64"}
        tensors = [
            {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]} for name, value in row.items()
        ]
        answer = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": tensors})
        assert answer.status_code == status
        if status == 200:
            margins = {output["name"]: output["data"] for output in answer.json()["outputs"]}
            assert margins["margin"] == [native]
        record = row | {"decision_id": f"mlflow-{number}"}
        answer = client.post("/invocations", json={"dataframe_records": [record]})
        assert answer.status_code == status
        if status == 422:
            assert "follows from occurred_at" in answer.text


def test_a_replay_derives_again(client: InProcessClient, store: SmallStore) -> None:
    client.post(URL, json=facts("d1", NIGHT))
    settings, keys = store.settings, read_public_keys(store.keys.public_key_path)
    [replay] = replay_decision("d1", settings.decision_log_dir, settings.release_store, keys)
    assert replay.is_same
    assert [line.name for line in replay.lines][:2] == ["is_night", "mean_amount_7d"]


def test_callers_go_over_to_facts_without_a_refused_request(store: SmallStore) -> None:
    """Shadow first, then both, then the new model, then facts alone; a caller of before is told what is missing."""
    old = {"amount": 250.5, "kind": "travel", **SENT}
    both = CARRIED | SENT
    store.publish(1)
    with served(store) as client:
        assert client.post(URL, json=score_request("old", features=old)).status_code == 200
        assert client.post(URL, json=score_request("early", features=both)).status_code == 422
    release_shadow(store)
    with served(store) as client:
        answers = [client.post(URL, json=score_request(f"both{n}", features=both)).json() for n in range(3)]
        assert {answer["release_number"] for answer in answers} == {4}
        eventually(lambda: [each.error for each in store.decisions() if each.slot == "shadow"] == [None] * 3)
    store.publish_files(2, derived_files(2))
    with served(store) as client:
        again = client.post(URL, json=score_request("both0", features=both))
        assert again.json() == answers[0]
        assert client.post(URL, json=score_request("both3", features=both)).status_code == 200
        assert client.post(URL, json=facts("facts")).status_code == 200
        missing = client.post(URL, json=score_request("old2", features=old)).json()["error"]
        assert missing["message"] == "Expected 4 features, missing ['spent_7d', 'count_7d']"


def release_shadow(store: SmallStore) -> None:
    champion = store.releases.history(MODEL)[-1].champion.bundle_digest
    store.publish_files(2, derived_files(2))
    derived = store.releases.history(MODEL)[-1].champion.bundle_digest
    store.releases.publish(MODEL, champion, by="test", reason="back")
    store.releases.put_shadow(MODEL, derived, by="test", reason="watch")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"occurred_at": msgspec.UNSET}, "Expected the time of a golden row with derived features, got none"),
        ({"facts": msgspec.UNSET}, "Expected a field, got none - at `spent_7d`"),
        ({"facts": {"spent_7d": 7.0, "count_7d": 9}}, "derived 0.7777777777777778 - at `mean_amount_7d`"),
        ({"facts": {"spent_7d": 7.0, "count_7d": "9"}}, "Expected fields with derived values, got TypeError"),
        (
            {"facts": {"spent_7d": 1e300, "count_7d": 1}},
            "Expected fields with derived values, got RowError",
        ),
    ],
)
def test_a_bundle_whose_golden_rows_derive_otherwise_is_refused(
    store: SmallStore, change: dict[str, Any], message: str
) -> None:
    golden = derived_golden(1)
    golden[3] = msgspec.structs.replace(golden[3], **change)
    with pytest.raises(LifecycleError, match=f"{message}.*golden row 4"):
        store.publish_files(1, derived_files(1, golden))


def test_a_model_without_derived_features_writes_what_it_wrote(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as client:
        client.post(URL, json=score_request())
    [record] = store.decisions()
    assert (record.schema_version, record.facts) == (2, msgspec.UNSET)
    assert DECIDING.schema_version == 2
