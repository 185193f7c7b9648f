"""Transactions of the live days as the requests a risk engine sends."""

import datetime as dt
from typing import Any

from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.examples import training_examples
from serving.contract.documents import Feature
from serving.contract.features import Value


def requests_of(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date) -> list[dict[str, Any]]:
    """A request for each transaction of ``[start, end)``, in the order of events.

    The decision's id follows from the transaction's: sending a day again repeats its decisions and makes no new ones.
    """
    table = training_examples(warehouse, spec, start, end, start)
    columns = spec.columns
    fields = spec.request_fields
    return [
        {
            "decision_id": f"{spec.name}-{row[columns.id]}",
            "transaction_id": str(row[columns.id]),
            "entity_key": str(row[columns.entity]),
            "occurred_at": row[columns.occurred_at].replace(tzinfo=dt.UTC).isoformat(),
            "features": {field.name: _as_sent(row[field.name], field) for field in fields},
        }
        for row in table.to_pylist()
    ]


def _as_sent(value: Any, field: Feature) -> Value:
    """A value of the mart as a request carries it."""
    if value is None or field.dtype == "category":
        return value  # type: ignore[no-any-return]  # text or null
    return int(value) if field.dtype == "int" else float(value)
