"""Writes `kserve_requests.json`: the bytes that KServe's own client sends for the data frames of `test_data_frames`.

KServe's package needs other versions of the server's dependencies, so it runs in an environment of its own::

    python -m venv /tmp/kserve && /tmp/kserve/bin/pip install kserve==0.21.0
    /tmp/kserve/bin/python tests/harness/kserve_requests.py
"""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Final

MODEL: Final = "card_fraud"
OUT: Final = Path(__file__).with_name("kserve_requests.json")
ENVELOPE: Final = {
    "decision_id": ["d0", "d1"],
    "transaction_id": ["t1", "t1"],
    "entity_key": ["4711", "4711"],
    "occurred_at": ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"],
}
FULL: Final[dict[str, list[Any]]] = {
    "amount": [250.5, 1.0], "mean": [2.5, 3.0], "flag_share": [True, False], "count": [3, 4], "age": [30, 40],
    "is_night": [True, False], "is_new": [True, False], "kind": ["shop", "travel"], "region": ["travel", "shop"],
}  # fmt: skip
MISSING: Final[dict[str, list[Any]]] = FULL | {
    "mean": [2.5, None], "flag_share": [None, True], "age": [30, None], "is_new": [None, True],
    "region": [None, "shop"],
}  # fmt: skip
TEXTS: Final = ("kind", "region")


def sent(features: dict[str, list[Any]], *, is_binary: bool) -> dict[str, Any]:
    """Body and headers of the client's request for a frame; the body in base64."""
    import httpx
    import numpy as np
    import pandas as pd
    from kserve import InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig

    frame = pd.DataFrame(ENVELOPE | features)
    inputs = []
    for name in frame.columns:
        column = frame[name]
        if name in ENVELOPE or name in TEXTS:
            array, datatype = column.fillna("").to_numpy(dtype=object), "BYTES"
        elif column.dtype == bool:
            array, datatype = column.to_numpy(), "BOOL"
        elif column.dtype == np.int64:
            array, datatype = column.to_numpy(), "INT64"
        else:
            array, datatype = column.to_numpy(dtype=np.float64, na_value=np.nan), "FP64"
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(tensor)
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"model_name": MODEL, "outputs": []})

    config = RESTConfig(transport=httpx.MockTransport(answer), protocol="v2")
    client = InferenceRESTClient(config)
    asyncio.run(client.infer("http://localhost", InferRequest(MODEL, inputs, request_id="r1"), model_name=MODEL))
    [request] = requests
    length = "inference-header-content-length"
    headers = {name: value for name, value in request.headers.items() if name in {"content-type", length}}
    return {"path": request.url.path, "headers": headers, "body": base64.b64encode(request.content).decode()}


def main() -> None:
    """Write the file."""
    cases = {
        f"{name}, {'binary' if is_binary else 'JSON'}": sent(features, is_binary=is_binary)
        for name, features in (("full", FULL), ("missing", MISSING))
        for is_binary in (False, True)
    }
    OUT.write_text(json.dumps(cases, indent=2) + "\n")


if __name__ == "__main__":
    main()
