"""A small credit model: labels by column, ids as text, cut-offs, no amount."""

from typing import Any

from tests.harness.toy_model import SPEC

CREDIT: dict[str, Any] = {
    **{key: value for key, value in SPEC.items() if key not in {"mart", "label", "decision", "gates"}},
    "examples": {"mart": "clients", "columns": {"id": "application_id", "entity": "client_id"}},
    "label": {"column": "is_default", "known_at": "label_known_at", "maturity_days": 2},
    "decision": {"review_from": 0.2, "decline_from": 0.6},
    "gates": {"minimum_rows": 10, "minimum_positives": 2, "metric": "ks"},
    "features": [{"name": "income", "dtype": "float"}],
    "reason_texts": None,
}
