"""Corrections of fakesnow's errors (as of version 0.12)."""

import datetime as dt
from decimal import Decimal
from importlib import import_module
from typing import Any

import fakesnow.arrow
import pyarrow as pa

_without_nulls = fakesnow.arrow.timestamp_to_sf_struct
_server = import_module("fakesnow.server")  # the package has a function of that name
_bound = _server.from_binding
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a timestamp without a zone


def timestamps_with_nulls(timestamps: "pa.Array | pa.ChunkedArray") -> pa.Array:
    """Timestamps in the connector's form, nulls kept: fakesnow sends 1970 instead."""
    column = timestamps.combine_chunks() if isinstance(timestamps, pa.ChunkedArray) else timestamps
    filled = _without_nulls(column.fill_null(pa.scalar(0, pa.int64()).cast(column.type)))
    return pa.StructArray.from_arrays(filled.flatten(), fields=list(filled.type), mask=column.is_null())


def bound_value(binding: dict[str, str]) -> Any:
    """A bound value in Python: fakesnow rejects decimals and nulls, and reads timestamps as doubles."""
    value = binding["value"]
    match binding["type"]:
        case _ if value is None:
            return None
        case "FIXED" if not value.lstrip("-").isdigit():
            return Decimal(value)
        case "TIMESTAMP_NTZ":
            return _EPOCH + dt.timedelta(microseconds=int(value) // 1000)
    return _bound(binding)


def correct() -> None:
    """Install the corrections."""
    fakesnow.arrow.timestamp_to_sf_struct = timestamps_with_nulls  # type: ignore[assignment]
    _server.from_binding = bound_value  # type: ignore[attr-defined]
