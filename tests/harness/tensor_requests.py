"""Requests of the Open Inference Protocol."""

import json
import math
from typing import Any

from hypothesis import strategies as st

from serving.protocols.open_inference.tensors import (
    BYTES,
    Column,
    to_binary,
)

SECRET = "4929123123123"


def binary_tensor(datatype: str, size: Any, rows: int, name: str = "x") -> dict[str, Any]:
    return {"name": name, "shape": [rows], "datatype": datatype, "parameters": {"binary_data_size": size}}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", SECRET]), inner, max_size=2),
    max_leaves=6,
)


def valid_request() -> tuple[bytes, int]:
    """A whole request with binary tensors for `SCHEMA`."""
    texts = {"decision_id": "d", "transaction_id": "t", "entity_key": "e", "occurred_at": "2026-01-31T12:00:00Z"}
    values = [Column(name, BYTES, [text, text]) for name, text in texts.items()]
    values += [Column("kind", BYTES, ["shop", "online"]), Column("amount", "FP32", [1.5, 2.5])]
    values += [Column("is_night", "INT8", [0, 1]), Column("mean_amount_7d", "FP16", [math.nan, 2.0])]
    packed = [to_binary(each) for each in values]
    inputs = [
        binary_tensor(each.datatype, len(content), 2, each.name) for each, content in zip(values, packed, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(packed), len(head)
