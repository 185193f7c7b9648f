"""Decision records."""

import datetime as dt
from typing import Any

from serving.contract.documents import DECISION_RECORD_VERSION, DecisionRecord


def record(decision_id: str = "d1", **changes: Any) -> DecisionRecord:
    values: dict[str, Any] = {
        "schema_version": DECISION_RECORD_VERSION,
        "decision_id": decision_id,
        "transaction_id": "t1",
        "entity_key": "f" * 64,
        "occurred_at": dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC),
        "decided_at": dt.datetime(2026, 1, 31, 12, 0, 1, tzinfo=dt.UTC),
        "model": "card_fraud",
        "slot": "champion",
        "bundle_digest": "b" * 64,
        "release_number": 1,
        "features": (250.5, 1, "travel", None),
        "margin": 0.25,
        "score": 0.5,
        "decision": "review",
        "elapsed_us": 120,
    }
    return DecisionRecord(**(values | changes))
