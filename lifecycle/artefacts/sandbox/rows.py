"""Rows of a training set and golden rows as the requests that a caller would send."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from lifecycle.artefacts.sandbox.connection import post
from lifecycle.tables.arrays import FloatArray, IntArray, TimeArray
from serving.contract.derivation import facts_of, fields_of_request, is_derived
from serving.contract.documents import Deciding, Feature, GoldenRow
from serving.contract.features import Value

EXPLAINED = "X-Explain: always\r\n"
_MOMENT = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class SentRows:
    """Rows to send: shape ``(n, n_features)`` and ``(n, n_facts)``, and when their events happened."""

    features: FloatArray
    facts: FloatArray | None
    occurred_at: TimeArray

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, index: IntArray) -> "SentRows":
        """The rows at `index`."""
        facts = None if self.facts is None else self.facts[index]
        return SentRows(self.features[index], facts, self.occurred_at[index])


def can_be_sent(deciding: Deciding, rows: SentRows) -> bool:
    """Whether the rows have every field of a request; training sets frozen before a model had facts lack these."""
    return not facts_of(deciding) or rows.facts is not None


def row_requests(deciding: Deciding, rows: SentRows, prefix: str, headers: str = "") -> Iterator[bytes]:
    """A request for each row; entities are made-up, ids begin with `prefix` and are unique within it."""
    columns = [index for index, feature in enumerate(deciding.features) if not is_derived(feature)]
    table = rows.features[:, columns]
    if rows.facts is not None and facts_of(deciding):
        table = np.column_stack([table, rows.facts])
    fields = fields_of_request(deciding)
    names, kinds = [field.name for field in fields], [_kind(field) for field in fields]
    moments = rows.occurred_at.astype("datetime64[us]").astype(object).tolist()
    for number, (values, moment) in enumerate(zip(table.tolist(), moments, strict=True)):
        sent = {
            name: None if value != value else kind(value)  # noqa: PLR0124 # NaN
            for name, kind, value in zip(names, kinds, values, strict=True)
        }
        yield _request(deciding.model, f"{prefix}{number}", sent, moment.replace(tzinfo=dt.UTC), headers)


def golden_requests(deciding: Deciding, golden: Sequence[GoldenRow], prefix: str, headers: str = "") -> list[bytes]:
    """A request for each golden row, with the fields that a caller sends."""
    requests = []
    for number, row in enumerate(golden):
        facts = row.facts if isinstance(row.facts, dict) else {}
        held = row.features | facts
        sent = {field.name: held[field.name] for field in fields_of_request(deciding)}
        moment = row.occurred_at if isinstance(row.occurred_at, dt.datetime) else _MOMENT
        requests.append(_request(deciding.model, f"{prefix}{number}", sent, moment, headers))
    return requests


def _kind(field: Feature) -> Callable[[float], Value]:
    """From a training set's number to the value in a request."""
    if field.dtype == "category":
        categories = field.categories or ()
        return lambda number: categories[int(number)]
    return int if field.dtype == "int" else float


def _request(model: str, name: str, features: dict[str, Value], moment: dt.datetime, headers: str) -> bytes:
    document = {
        "decision_id": name,
        "transaction_id": name,
        "entity_key": name,
        "occurred_at": moment,
        "features": features,
    }
    return post(f"/v1/models/{model}/score", msgspec.json.encode(document), headers)
