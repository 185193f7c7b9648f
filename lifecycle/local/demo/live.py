"""Transactions of the live days as the requests a risk engine sends."""

import datetime as dt
from typing import Any

from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.examples import training_examples


def requests_of(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, end: dt.date) -> list[dict[str, Any]]:
    """A request for each transaction of ``[start, end)``, in the order of events.

    The decision's id follows from the transaction's: sending a day again repeats its decisions and makes no new ones.
    """
    table = training_examples(warehouse, spec, start, end, start)
    columns = spec.columns
    whole = {feature.name for feature in spec.features if feature.dtype == "int"}
    return [
        {
            "decision_id": f"{spec.name}-{row[columns.id]}",
            "transaction_id": str(row[columns.id]),
            "entity_key": str(row[columns.entity]),
            "occurred_at": row[columns.occurred_at].replace(tzinfo=dt.UTC).isoformat(),
            "features": {name: int(row[name]) if name in whole else float(row[name]) for name in spec.feature_names},
        }
        for row in table.to_pylist()
    ]
