"""Small real models, bundles and stores for the tests: LightGBM on made-up rows with a category and missing values."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lifecycle.artefacts.bundles import write_bundle
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import Keys, ensure_keys
from serving.contract.documents import (
    SCHEMA_VERSION,
    Bands,
    Calibration,
    Deciding,
    DecisionRecord,
    Feature,
    GoldenRow,
    Lineage,
    ReasonTexts,
    RejectionRecord,
    Release,
    Verdict,
    encode,
)
from serving.log.segments import read_records
from serving.scoring.probability import probability

MODEL = "card_fraud"
CATEGORIES = ("online", "shop", "travel")
SCHEMA = (
    Feature(name="amount", dtype="float", minimum=0, monotone=1, reason_group="amount"),
    Feature(name="is_night", dtype="int", minimum=0, maximum=1, reason_group="time"),
    Feature(name="kind", dtype="category", categories=CATEGORIES, reason_group="kind"),
    Feature(name="mean_amount_7d", dtype="float", is_nullable=True, minimum=0, reason_group="amount"),
)
NAMES = [feature.name for feature in SCHEMA]
CALIBRATION = Calibration(slope=1.25, intercept=-0.5)
REASON_TEXTS = ReasonTexts(
    version="2026-01",
    texts={"amount": "The amount is unusual", "time": "The hour is unusual", "kind": "The kind of purchase is unusual"},
)
BANDS = Bands(review_from=0.3, decline_from=0.55)
EXAMPLE: dict[str, float | int | str | None] = {
    "amount": 250.5,
    "is_night": 1,
    "kind": "travel",
    "mean_amount_7d": None,
}


@functools.cache
def examples(rows: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows in the schema's order and their labels."""
    generator = np.random.default_rng(7)
    matrix = np.column_stack(
        [
            generator.gamma(2.0, 60.0, rows).round(2),
            generator.integers(0, 2, rows),
            generator.integers(0, len(CATEGORIES), rows),
            generator.gamma(2.0, 50.0, rows),
        ]
    )
    matrix[generator.random(rows) < 0.1, 3] = np.nan
    odds = 0.01 * matrix[:, 0] + matrix[:, 1] + 0.8 * (matrix[:, 2] == 2) - 3.2
    return matrix, (generator.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)


@functools.cache
def booster(seed: int) -> Any:
    """A booster; another seed gives other trees."""
    import lightgbm

    matrix, labels = examples()
    parameters = {
        "objective": "binary",
        "verbosity": -1,
        "num_threads": 1,
        "seed": seed,
        "num_leaves": 6 + seed,
        "max_bin": 4095,
        "monotone_constraints": [1, 0, 0, 0],
        "deterministic": True,
    }
    training = lightgbm.Dataset(matrix, labels, feature_name=NAMES, categorical_feature=["kind"], free_raw_data=False)
    return lightgbm.train(parameters, training, num_boost_round=15)


def as_features(row: NDArray[np.float64]) -> dict[str, float | int | str | None]:
    """A row of `examples` as a caller would send it."""
    amount, is_night, kind, mean = row.tolist()
    return {
        "amount": amount,
        "is_night": int(is_night),
        "kind": CATEGORIES[int(kind)],
        "mean_amount_7d": None if np.isnan(mean) else mean,
    }


def golden_rows(seed: int, count: int = 8) -> list[GoldenRow]:
    """Golden rows of the booster with this seed."""
    rows = examples()[0][:count]
    margins = booster(seed).predict(rows, raw_score=True).tolist()
    return [
        GoldenRow(features=as_features(row), margin=margin, score=probability(margin, CALIBRATION))
        for row, margin in zip(rows, margins, strict=True)
    ]


def explained_rows(seed: int, count: int = 8) -> list[GoldenRow]:
    """Golden rows with the contributions that LightGBM gives."""
    contributions = booster(seed).predict(examples()[0][:count], pred_contrib=True).tolist()
    return [
        msgspec.structs.replace(golden, contributions=tuple(row))
        for golden, row in zip(golden_rows(seed, count), contributions, strict=True)
    ]


def candidate_files(seed: int, model: str = MODEL, *, can_explain: bool = False) -> dict[str, bytes]:
    """The four sealed files of a bundle; one that explains makes a server compile for some seconds."""
    deciding = Deciding(
        schema_version=SCHEMA_VERSION,
        model=model,
        features=SCHEMA,
        calibration=CALIBRATION,
        bands=BANDS,
        reason_texts=REASON_TEXTS if can_explain else None,
    )
    golden = explained_rows(seed) if can_explain else golden_rows(seed)
    return {
        "model.txt": booster(seed).model_to_string().encode(),
        "deciding.json": encode(deciding),
        "golden.jsonl": b"".join(msgspec.json.encode(row) + b"\n" for row in golden),
        "card.html": b"<html></html>",
    }


def lineage(seed: int) -> Lineage:
    """Where the model with this seed claims to come from."""
    return Lineage(
        as_of=f"2026-01-{seed:02d}",
        training_set_digest="0" * 64,
        code_commit=None,
        parameters={"num_leaves": 6 + seed, "max_bin": 4095},
        seed=seed,
        library_versions={},
    )


VERDICTS = (Verdict(gate="minimum_rows", is_passed=True, summary="4,000 of 10 rows"),)


@dataclass(frozen=True)
class SmallStore:
    """An installation in a folder of its own."""

    settings: Settings
    keys: Keys
    releases: ReleaseStore

    @classmethod
    def under(cls, home: Path) -> "SmallStore":
        """Make one in `home`."""
        settings = Settings(home=home)
        keys = ensure_keys(settings)
        return cls(settings, keys, ReleaseStore(settings.release_store, keys))

    def seal(self, seed: int, model: str = MODEL, *, can_explain: bool = False) -> str:
        """Seal the bundle of a seed and return its digest."""
        files = candidate_files(seed, model, can_explain=can_explain)
        store, keys = self.settings.release_store, self.keys
        return write_bundle(store, files, lineage=lineage(seed), verdicts=VERDICTS, keys=keys)

    def publish_files(self, seed: int, files: dict[str, bytes], model: str = MODEL) -> Release:
        """Seal and promote a bundle of other files."""
        store, keys = self.settings.release_store, self.keys
        bundle = write_bundle(store, files, lineage=lineage(seed), verdicts=VERDICTS, keys=keys)
        return self.releases.publish(model, bundle, by="test", reason=f"seed {seed}")

    def publish(self, seed: int, model: str = MODEL, *, can_explain: bool = False) -> Release:
        """Seal and promote the bundle of a seed."""
        bundle = self.seal(seed, model, can_explain=can_explain)
        return self.releases.publish(model, bundle, by="test", reason=f"seed {seed}")

    def decisions(self) -> list[DecisionRecord]:
        """What the decision log holds of decisions, errors and shadows."""
        records = (logged.record for logged in read_records(self.settings.decision_log_dir))
        return [record for record in records if isinstance(record, DecisionRecord)]

    def rejections(self) -> list[RejectionRecord]:
        """What the decision log holds of requests that got no decision."""
        records = (logged.record for logged in read_records(self.settings.decision_log_dir))
        return [record for record in records if isinstance(record, RejectionRecord)]

    def environment(self, **others: str) -> dict[str, str]:
        """What a server of this installation needs in its environment; requests may take as long as they can."""
        settings, keys = self.settings, self.keys
        return {
            **os.environ,
            "SERVING_STORE": str(settings.release_store),
            "SERVING_PUBLIC_KEY": str(keys.public_key_path),
            "SERVING_PSEUDONYM_KEY": str(keys.pseudonym_key_path),
            "SERVING_LOG_DIR": str(settings.decision_log_dir),
            "SERVING_CACHE_DIR": str(settings.root / "serving_cache"),
            "SERVING_PORT": "0",
            "SERVING_POLL_SECONDS": "0.1",
            "SERVING_DRAIN_SECONDS": "0",
            "SERVING_REQUEST_TIMEOUT_SECONDS": "60",
            **others,
        }


def score_request(decision_id: Any = "d1", **changes: Any) -> dict[str, Any]:
    """A valid request."""
    return {
        "decision_id": decision_id,
        "transaction_id": "t1",
        "entity_key": "4711",
        "occurred_at": "2026-01-31T12:00:00Z",
        "features": dict(EXAMPLE),
        **changes,
    }
