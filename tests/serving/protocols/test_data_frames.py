"""Every type of feature, with and without missing values, as the public clients send pandas' data frames."""

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton

from serving.contract.documents import Feature
from serving.wire.score_request import RequestReader
from tests.harness.in_process_client import InProcessClient
from tests.harness.kserve_requests import FULL, MISSING, OUT
from tests.harness.protocol_steps import Scripted, deployed
from tests.harness.small_models import MODEL, score_request

KINDS = ("shop", "travel")
SCHEMA = (
    Feature(name="amount", dtype="float"),
    Feature(name="mean", dtype="float", is_nullable=True),
    Feature(name="flag_share", dtype="float", is_nullable=True),
    Feature(name="count", dtype="int"),
    Feature(name="age", dtype="int", is_nullable=True),
    Feature(name="is_night", dtype="int", minimum=0, maximum=1),
    Feature(name="is_new", dtype="int", minimum=0, maximum=1, is_nullable=True),
    Feature(name="kind", dtype="category", categories=KINDS),
    Feature(name="region", dtype="category", categories=KINDS, is_nullable=True),
)


def frame_of(features: dict[str, list[Any]]) -> pd.DataFrame:
    """The frame that pandas makes of the features and their envelopes."""
    envelope = {name: value for name, value in score_request("d").items() if name != "features"}
    rows = {name: [value] * 2 for name, value in envelope.items()} | {"decision_id": ["d0", "d1"]}
    return pd.DataFrame(rows | features)


def expected(features: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    """The rows that the model must get."""
    types = {"float": float, "int": int, "category": str}
    columns = [
        [None if value is None else types[each.dtype](value) for value in features[each.name]] for each in SCHEMA
    ]
    return list(zip(*columns, strict=True))


def decided(path: str, body: bytes, **headers: str) -> list[tuple[Any, ...]]:
    """The rows that the server reads from a body, in the types that it decides on."""
    scripted = Scripted(models={MODEL: SimpleNamespace(champion=deployed(3, SCHEMA), canary=None, shadow=None)})
    with InProcessClient(scripted.app()) as client:
        response = client.post(path, content=body, headers=headers)
    assert response.status_code == 200, response.text
    reader = RequestReader(SCHEMA)
    return [reader.convert(request).values for request in scripted.decided]


def as_json(path: str, document: Any) -> list[tuple[Any, ...]]:
    return decided(path, json.dumps(document).encode(), **{"content-type": "application/json"})


def mlflows_client(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    from mlflow.utils.proto_json_utils import dump_input_data

    body = dump_input_data(frame, params={"model": MODEL, "temperature": 1})
    return decided("/invocations", body.encode(), **{"content-type": "application/json"})


def recipe(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    split = frame.astype(object).where(frame.notna(), None).to_dict(orient="split")
    return as_json("/invocations", {"dataframe_split": split})


def nans_as_python_writes_them(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return as_json("/invocations", {"inputs": frame.to_dict(orient="list")})


def pandas_own_json(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    body = b'{"dataframe_records": %s}' % frame.to_json(orient="records").encode()
    return decided("/invocations", body, **{"content-type": "application/json"})


def csv(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return decided("/invocations", frame.to_csv(index=False).encode(), **{"content-type": "text/csv"})


def nullable_csv(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return csv(frame.convert_dtypes())


def tritons_client(frame: pd.DataFrame, *, is_binary: bool) -> list[tuple[Any, ...]]:
    inputs = []
    for name in frame.columns:
        column = frame[name]
        feature = next((each for each in SCHEMA if each.name == name), None)
        if feature is None or feature.dtype == "category":
            array, datatype = column.fillna("").to_numpy(dtype=object), "BYTES"
        elif column.dtype == bool:
            array, datatype = column.to_numpy(), "BOOL"
        elif column.dtype == np.int64:
            array, datatype = column.to_numpy(), "INT64"
        else:
            array, datatype = column.to_numpy(dtype=np.float64, na_value=np.nan), "FP64"
        tensor = triton.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(tensor)
    body, size = triton.InferenceServerClient.generate_request_body(inputs)
    headers = {} if size is None else {"Inference-Header-Content-Length": str(size)}
    return decided(f"/v2/models/{MODEL}/infer", body, **headers)


def kserves_client(frame: pd.DataFrame, encoding: str) -> list[tuple[Any, ...]]:
    """The bytes that KServe's own client sent (see `tests.harness.kserve_requests`)."""
    case = "missing" if frame.isna().to_numpy().any() else "full"
    request = json.loads(OUT.read_text())[f"{case}, {encoding}"]
    return decided(request["path"], base64.b64decode(request["body"]), **request["headers"])


def mlservers_codec(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """As MLServer's `PandasCodec` writes a frame: the shape [n, 1], codecs as parameters, null for what is absent."""
    inputs = []
    for name in frame.columns:
        column = frame[name]
        data = column.astype(object).where(column.notna(), None).tolist()
        datatype = {"bool": "BOOL", "int64": "INT64", "float64": "FP64"}.get(str(column.dtype), "BYTES")
        if datatype == "BYTES" and name in {"flag_share", "is_new"}:
            datatype = "BOOL"
        codec = "str" if datatype == "BYTES" else "np"
        inputs.append(
            {
                "name": name, "shape": [len(data), 1], "datatype": datatype, "data": data,
                "parameters": {"content_type": codec, "headers": None},
            }
        )  # fmt: skip
    parameters = {"content_type": "pd", "headers": None}
    document = {"id": None, "parameters": parameters, "inputs": inputs, "outputs": None}
    return as_json(f"/v2/models/{MODEL}/infer", document)


CLIENTS: dict[str, Callable[[pd.DataFrame], list[tuple[Any, ...]]]] = {
    "MLflow's client": mlflows_client,
    "the manual's recipe": recipe,
    "Python's JSON": nans_as_python_writes_them,
    "pandas' JSON": pandas_own_json,
    "CSV": csv,
    "CSV of nullable columns": nullable_csv,
    "Triton's client, binary": lambda frame: tritons_client(frame, is_binary=True),
    "Triton's client, JSON": lambda frame: tritons_client(frame, is_binary=False),
    "KServe's client, binary": lambda frame: kserves_client(frame, "binary"),
    "KServe's client, JSON": lambda frame: kserves_client(frame, "JSON"),
    "MLServer's codec": mlservers_codec,
}


@pytest.mark.parametrize("features", [FULL, MISSING], ids=["full", "missing"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")  # mlflow of its own types
def test_a_data_frame_arrives_as_the_rows_that_it_was_made_of(client: str, features: dict[str, list[Any]]) -> None:
    found, wanted = CLIENTS[client](frame_of(features)), expected(features)
    assert found == wanted
    assert [list(map(type, row)) for row in found] == [list(map(type, row)) for row in wanted]
