"""The small models with derived features: the same trees, decided by facts."""

import datetime as dt
from typing import Any

import msgspec
import numpy as np

from lifecycle.spec.derived import parse
from serving.contract.derivation import completion
from serving.contract.documents import Deciding, Feature, GoldenRow, encode
from serving.contract.features import RowEncoder
from serving.scoring.probability import probability
from tests.harness.small_models import BANDS, CALIBRATION, CATEGORIES, MODEL, SCHEMA, booster

IS_NIGHT = "case when extract(hour from occurred_at) <= 6 then 1 else 0 end"
MEAN = "spent_7d / count_7d"
FACTS = (
    Feature(name="spent_7d", dtype="float", minimum=0),
    Feature(name="count_7d", dtype="int", minimum=0),
)
DERIVED_SCHEMA = (
    SCHEMA[0],
    msgspec.structs.replace(SCHEMA[1], source="derived", derivation=parse(IS_NIGHT)),
    msgspec.structs.replace(SCHEMA[2], other="shop"),
    msgspec.structs.replace(SCHEMA[3], source="derived", derivation=parse(MEAN), maximum=1e6),
)
DECIDING = Deciding(
    schema_version=2, model=MODEL, features=DERIVED_SCHEMA, calibration=CALIBRATION, bands=BANDS, facts=FACTS
)
NIGHT, NOON = "2026-01-31T03:30:00Z", "2026-01-31T12:00:00Z"
CARRIED: dict[str, Any] = {"amount": 250.5, "kind": "travel", "spent_7d": 100.0, "count_7d": 3}


def derived_golden(seed: int) -> list[GoldenRow]:
    """Golden rows of a booster whose derived features follow from made-up facts."""
    generator = np.random.default_rng(seed)
    complete, encoder = completion(DERIVED_SCHEMA, FACTS), RowEncoder(DERIVED_SCHEMA)
    rows = []
    for number in range(8):
        facts: dict[str, Any] = {"spent_7d": round(float(generator.gamma(2.0, 300.0)), 2), "count_7d": number}
        moment = dt.datetime(2026, 1, 31, 3 * number, tzinfo=dt.UTC)
        values = complete((float(100 * number), CATEGORIES[number % 3], *facts.values()), moment)
        margin = float(booster(seed).predict(np.array([encoder.row(values)]), raw_score=True)[0])
        rows.append(
            GoldenRow(
                features=dict(zip((feature.name for feature in SCHEMA), values, strict=True)),
                margin=margin,
                score=probability(margin, CALIBRATION),
                occurred_at=moment,
                facts=facts,
            )
        )
    return rows


def derived_files(seed: int, golden: list[GoldenRow] | None = None) -> dict[str, bytes]:
    """The four sealed files of a bundle."""
    rows = derived_golden(seed) if golden is None else golden
    return {
        "model.txt": booster(seed).model_to_string().encode(),
        "deciding.json": encode(DECIDING),
        "golden.jsonl": b"".join(msgspec.json.encode(row) + b"\n" for row in rows),
        "card.html": b"<html></html>",
    }
