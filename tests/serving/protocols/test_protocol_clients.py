"""The protocols' own clients against the real server: NVIDIA's for tensors, MLflow's and `requests` for tables."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.harness.protocol_steps import record
from tests.harness.server_process import Server, served
from tests.harness.small_models import EXAMPLE, MODEL, SmallStore, booster, golden_rows, score_request

GOLDEN = golden_rows(1)
MARGINS = [row.margin for row in GOLDEN]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    home: Path = tmp_path_factory.mktemp("protocols")
    store = SmallStore.under(home)
    store.publish(1)
    return store


@pytest.fixture(scope="module")
def server(store: SmallStore) -> Iterator[Server]:
    with served(store, SERVING_MAX_BATCH="16") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    client = triton.InferenceServerClient(str(server.client.base_url).removeprefix("http://").rstrip("/"))
    yield client
    client.close()


def url(server: Server) -> str:
    return str(server.client.base_url).rstrip("/")


def tensor(name: str, values: Any, datatype: str, *, is_binary: bool = True) -> Any:
    array = np.array(values)
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=is_binary)
    return tensor


def text(name: str, values: list[str], *, is_binary: bool = True) -> Any:
    return tensor(name, np.array(values, dtype=object), "BYTES", is_binary=is_binary)


def tensors(prefix: str, *, is_binary: bool = True) -> list[Any]:
    """The golden rows, missing values as NaN."""
    number = len(GOLDEN)
    means = [row.features["mean_amount_7d"] for row in GOLDEN]
    return [
        text("decision_id", [f"{prefix}{n}" for n in range(number)], is_binary=is_binary),
        text("transaction_id", ["t"] * number, is_binary=is_binary),
        text("entity_key", ["4711"] * number, is_binary=is_binary),
        text("occurred_at", ["2026-01-31T12:00:00Z"] * number, is_binary=is_binary),
        text("kind", [str(row.features["kind"]) for row in GOLDEN], is_binary=is_binary),
        tensor("amount", [row.features["amount"] for row in GOLDEN], "FP64", is_binary=is_binary),
        tensor("is_night", [[row.features["is_night"]] for row in GOLDEN], "INT64", is_binary=is_binary),
        tensor(
            "mean_amount_7d", [np.nan if mean is None else float(mean) for mean in means], "FP64", is_binary=is_binary
        ),
    ]


def one(decision_id: str, **changes: Any) -> list[Any]:
    """One request with the example's features, some of the tensors others."""
    usual: dict[str, Callable[[], Any]] = {
        "amount": lambda: tensor("amount", [EXAMPLE["amount"]], "FP64"),
        "is_night": lambda: tensor("is_night", [EXAMPLE["is_night"]], "INT64"),
        "mean_amount_7d": lambda: tensor("mean_amount_7d", [np.nan], "FP64"),
        "kind": lambda: text("kind", [str(EXAMPLE["kind"])]),
    }
    envelope = [text(name, [str(value)]) for name, value in score_request(decision_id).items() if name != "features"]
    return envelope + [changes.get(name) or make() for name, make in usual.items()]


def expected_margin(amount: float) -> float:
    [margin] = booster(1).predict([[amount, 1, 2, np.nan]], raw_score=True).tolist()
    return float(margin)


def test_the_server_and_its_model_describe_themselves(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    described = client.get_model_metadata(MODEL, "1")
    assert (described["name"], described["versions"]) == (MODEL, ["1"])
    assert {"name": "amount", "datatype": "FP64", "shape": [-1]} in described["inputs"]


@pytest.mark.parametrize("is_binary", [True, False])
def test_tensors_give_the_models_margins_bit_for_bit_and_are_recorded(
    client: Any, store: SmallStore, is_binary: bool
) -> None:
    prefix = f"triton-{is_binary}-"
    answer = client.infer(MODEL, tensors(prefix, is_binary=is_binary), request_id="r1")
    assert answer.as_numpy("margin").tolist() == MARGINS
    assert answer.as_numpy("release_number").tolist() == [1] * len(GOLDEN)
    assert set(answer.as_numpy("slot").tolist()) == {b"champion"}
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("r1", "1")
    recorded = store.decisions()
    assert [each.margin for each in recorded if each.decision_id.startswith(prefix)] == MARGINS


def test_outputs_come_as_json_and_as_binary_in_one_answer(client: Any) -> None:
    wanted = [triton.InferRequestedOutput("decision", binary_data=False), triton.InferRequestedOutput("score")]
    answer = client.infer(MODEL, tensors("outputs-"), model_version="1", outputs=wanted)
    assert [each["name"] for each in answer.get_response()["outputs"]] == ["decision", "score"]
    assert answer.as_numpy("score").tolist() == [row.score for row in GOLDEN]
    assert set(answer.as_numpy("decision").tolist()) <= {"approve", "review", "decline"}
    assert answer.as_numpy("margin") is None


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize(
    "datatype",
    ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"],
)
def test_every_datatype_of_numbers_arrives_exactly(client: Any, datatype: str, is_binary: bool) -> None:
    value = np.array([99.7]).astype(datatype.lower().replace("fp", "float"))
    amount = tensor("amount", value, datatype, is_binary=is_binary)
    answer = client.infer(MODEL, one(f"{datatype}-{is_binary}", amount=amount))
    assert answer.as_numpy("margin").tolist() == [expected_margin(float(value[0]))]


def test_a_bool_tensor_is_an_int_feature(client: Any) -> None:
    answer = client.infer(MODEL, one("bool", is_night=tensor("is_night", [True], "BOOL")))
    assert answer.as_numpy("margin").tolist() == [expected_margin(250.5)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": tensor("amount", [np.nan], "FP64")}, "Expected a value, since this input is not nullable"),
        ({"amount": tensor("amount", [-1.0], "FP64")}, "Expected `float` >= 0.0"),
        ({"is_night": tensor("is_night", [0.5], "FP64")}, "Expected a whole number"),
        ({"kind": text("kind", ["4711"])}, "Expected one of ['online', 'shop', 'travel']"),
    ],
)
def test_the_client_is_told_what_was_expected_and_where(client: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(MODEL, one("refused", **changes))
    [changed] = changes
    index = [each.name() for each in one("refused", **changes)].index(changed)
    assert caught.value.message() == f"{message} - at `$.inputs[{index}].data[0]`"
    assert caught.value.status() == "422"


def test_another_version_and_a_compressed_body_are_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="Expected version 1, the release in force"):
        client.infer(MODEL, one("version"), model_version="2")
    with pytest.raises(InferenceServerException, match="not compressed"):
        client.infer(MODEL, one("gzip"), request_compression_algorithm="gzip")


def test_requests_asks_as_mlflows_documentation_shows(server: Server, store: SmallStore) -> None:
    import pandas as pd

    frame = pd.DataFrame([record(f"x{n}", **row.features) for n, row in enumerate(GOLDEN)])
    as_object = frame.astype(object).where(frame.notna(), None)
    bodies = [
        {"dataframe_split": as_object.to_dict(orient="split")},
        {"dataframe_records": as_object.to_dict(orient="records")},
        {"inputs": as_object.to_dict(orient="list")},
        {"instances": as_object.to_dict(orient="records"), "params": {"model": MODEL}},
    ]
    responses = [requests.post(f"{url(server)}/invocations", json=body, timeout=60) for body in bodies]
    csv = {"data": frame.to_csv(index=False), "headers": {"Content-Type": "text/csv"}}
    responses.append(requests.post(f"{url(server)}/invocations", timeout=60, **csv))
    for response in responses:
        assert response.status_code == 200, response.text
        assert [each["margin"] for each in response.json()["predictions"]] == MARGINS
    # The five asked for the same decisions: all but the first were repeats.
    ids = [record.decision_id for record in store.decisions()]
    assert [each for each in ids if each.startswith("x")] == [f"x{n}" for n in range(len(GOLDEN))]


def test_a_batch_beyond_the_limit_is_refused(server: Server) -> None:
    body = {"instances": [record(f"many{n}") for n in range(17)]}
    response = requests.post(f"{url(server)}/invocations", json=body, timeout=60)
    assert (response.status_code, response.json()["message"]) == (422, "Expected from 1 to 16 rows - at `$.instances`")


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")  # mlflow of its own types
def test_mlflows_own_client_asks(server: Server, store: SmallStore) -> None:
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = url(server).removeprefix("http://").split(":")
    client = ScoringServerClient(host, int(port))
    client.wait_server_ready(timeout=60)
    assert client.get_version()
    # pandas' missing numbers leave it as NaN, which JSON does not have.
    frame = pd.DataFrame([record(f"m{n}", **row.features) for n, row in enumerate(GOLDEN)])
    frame.loc[0, "mean_amount_7d"] = np.nan
    answer = client.invoke(frame, params={"model": MODEL, "explain": True})
    predictions = answer.get_predictions()
    assert predictions["margin"].tolist()[1:] == MARGINS[1:]
    [recorded] = [each.features for each in store.decisions() if each.decision_id == "m0"]
    assert recorded == (*list(GOLDEN[0].features.values())[:3], None)
    assert json.loads(answer.to_json())["predictions"][0]["decision_id"] == "m0"
    frame.loc[0, "amount"] = np.nan
    with pytest.raises(Exception, match=r"got `null` - at `\$\.dataframe_split\.data\[0\]\[4\]`"):
        client.invoke(frame)
