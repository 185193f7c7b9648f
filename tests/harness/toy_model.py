"""A toy risk model and a month of made-up card transactions."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa

from lifecycle.spec.risk_model import RiskModelSpec

FIRST_DAY = dt.date(2024, 1, 1)
AS_OF = dt.date(2024, 2, 1)
SPEC: dict[str, Any] = {
    "name": "toy",
    "description": "A toy.",
    "mart": "toy_features",
    "examples": {"arrives_in": "card_transactions"},
    "first_date": FIRST_DAY.isoformat(),
    "features": [
        {"name": "amount", "dtype": "float", "minimum": 0, "reason_group": "amount"},
        {"name": "is_weekend", "dtype": "int", "minimum": 0, "maximum": 1, "reason_group": "time"},
        {
            "name": "segment",
            "dtype": "category",
            "categories": ["basic", "gold", "never"],
            "reason_group": "customer",
        },
        {"name": "risk", "dtype": "float", "is_nullable": True, "reason_group": "customer"},
    ],
    "reason_texts": {"version": "1", "texts": {"amount": "Amount", "time": "Time", "customer": "Customer"}},
    "label": {"relation": "toy_outcomes", "maturity_days": 2},
    "protected": {"none": "made-up cards have no holders"},
    "training": {
        "train": 8,
        "validation": 4,
        "validation_folds": 2,
        "fold_step": 4,
        "holdout": 7,
        "search": {"trials": 8, "num_threads": 1},
    },
    "decision": {"review_cards_per_day": 6, "decline_cards_per_day": 2, "minimum_decline_score": 0.1},
    "gates": {"minimum_rows": 100, "minimum_positives": 5},
}


def spec_with(**overrides: Any) -> RiskModelSpec:
    return RiskModelSpec.model_validate({**SPEC, **overrides})


def card_table(rows: int = 6000, seed: int = 2) -> pa.Table:
    """Transactions of 31 days; a fraud depends on the amount and the risk, not linearly."""
    generator = np.random.default_rng(seed)
    seconds = np.sort(generator.choice(31 * 86_400, rows, replace=False))
    occurred = np.datetime64("2024-01-01", "us") + seconds.astype("timedelta64[s]")
    cents = generator.integers(100, 30_000, rows)
    risk = generator.normal(size=rows)
    segment = generator.choice(["basic", "gold"], rows)
    odds = 4.0 * (cents > 25_000) + 3.0 * (np.abs(risk) > 1.8) - 5.5
    fraud = generator.random(rows) < 1 / (1 + np.exp(-odds))
    delay = generator.integers(3_600, 2 * 86_400, rows).astype("timedelta64[s]")
    reported = np.where(fraud, occurred + delay, np.datetime64("NaT", "us"))
    reported = np.where(reported < np.datetime64(AS_OF.isoformat(), "us"), reported, np.datetime64("NaT", "us"))
    weekday = (occurred.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return pa.table(
        {
            "transaction_id": pa.array(np.arange(rows) + 1, pa.int64()),
            "customer_id": pa.array(generator.integers(0, 200, rows), pa.int64()),
            "occurred_at": pa.array(occurred, pa.timestamp("us")),
            "reported_at": pa.array(reported, pa.timestamp("us")),
            "amount": pa.array(cents / 100).cast(pa.decimal128(12, 2)),
            "is_weekend": pa.array((weekday >= 5).astype(np.int32)),
            "segment": pa.array(segment),
            "risk": pa.array(risk, mask=generator.random(rows) < 0.05),
        }
    )
