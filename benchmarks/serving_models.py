"""Models of the serving benchmarks, their bundles and releases, and the requests."""

import datetime as dt
import itertools
import json
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lifecycle.artefacts.bundles import write_bundle
from lifecycle.releases.store import ReleaseStore
from lifecycle.settings.platform import Settings
from lifecycle.signing.keys import Keys, ensure_keys
from serving.artefacts.releases import file_name
from serving.contract.documents import (
    Bands,
    Calibration,
    Deciding,
    Feature,
    GoldenRow,
    Lineage,
    ReasonTexts,
    Verdict,
    encode,
)
from serving.scoring.probability import probability

Matrix = NDArray[np.float64]

TREES, LEAVES, INPUTS = 500, 31, 30
CARD_FRAUD_TREES = 300
REASON_GROUPS = 6
BENCHMARK, CARD_FRAUD = "benchmark", "card_fraud"
POOL_ROWS = 1009
"""Different rows that requests go through: no two neighbours walk the same way down the trees. A prime, so that each
fifth request that is explained is not always the same row."""
ROWS = 20_000
GOLDEN_ROWS = 20
ID_DIGITS = 12
CALIBRATION = Calibration(slope=1.0, intercept=0.0)
BANDS = Bands(review_from=0.5, decline_from=0.9)


@dataclass(frozen=True)
class Trained:
    """A booster with its schema and made-up rows."""

    name: str
    features: tuple[Feature, ...]
    booster: Any
    rows: Matrix
    parameters: dict[str, Any]

    def margins(self, rows: Matrix) -> list[float]:
        """Expected margins for these rows, bit for bit."""
        margins: list[float] = self.booster.predict(rows, raw_score=True, num_threads=1).tolist()
        return margins

    def approved_rows(self, count: int = POOL_ROWS) -> Matrix:
        """Rows that get the decision `approve`: no answer holds reasons unless they are asked for."""
        scores = np.array([probability(margin, CALIBRATION) for margin in self.margins(self.rows[: 4 * count])])
        assert BANDS.review_from is not None
        return self.rows[: 4 * count][scores < BANDS.review_from][:count]

    def as_features(self, row: Sequence[float]) -> dict[str, float | int | str | None]:
        """A row as a caller sends it."""
        named = zip(self.features, row, strict=True)
        return {feature.name: int(value) if feature.dtype == "int" else value for feature, value in named}


class RowRequests:
    """Score requests that go through rows in turn, each with a decision id of its own.

    Parameters
    ----------
    rows
        Shape ``(n_rows, n_features)``; request number n holds row ``n % n_rows``.
    explained_every
        Each so manieth request asks for reasons; 0 for none.
    first
        Number of the first request; two sources of one server must not overlap.
    header
        A row's number to the lines of further headers, which hold no long run of zeros.
    """

    def __init__(
        self,
        trained: Trained,
        rows: Matrix,
        *,
        explained_every: int = 0,
        first: int = 0,
        header: Callable[[int], str] = lambda _row: "",
    ) -> None:
        self.row_count = len(rows)
        self.explained_every = explained_every
        self._numbers = itertools.count(first)
        self._path = f"/v1/models/{trained.name}/score"
        contents = [trained.as_features(row) for row in rows.tolist()]
        self._plain = [self._parts(row, each, header(row)) for row, each in enumerate(contents)]
        self._explained = [
            self._parts(row, each, f"X-Explain: always\r\n{header(row)}") for row, each in enumerate(contents)
        ]

    def take(self) -> tuple[int, bytes]:
        """The next request."""
        number = next(self._numbers)
        return number, self.encoded(number)

    def encoded(self, number: int) -> bytes:
        """The bytes of a request, always the same for the same number."""
        explained = self.explained_every and number % self.explained_every == 0
        before, after = (self._explained if explained else self._plain)[number % self.row_count]
        return b"%b%0*d%b" % (before, ID_DIGITS, number, after)

    def _parts(self, row: int, features: Mapping[str, object], header: str) -> tuple[bytes, bytes]:
        """A request up to the number in its decision id, and from there on."""
        body = json.dumps(
            {
                "decision_id": decision_id(0),
                "transaction_id": f"{184_467_000 + row}",
                "entity_key": f"card-{row:06d}",
                "occurred_at": "2026-01-31T12:00:00Z",
                "features": features,
            },
            separators=(",", ":"),
        ).encode()
        head = f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{header}"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        before, _, after = request.partition(b"0" * ID_DIGITS)
        return before, after


def decision_id(number: int) -> str:
    """The decision id of a request, as long as the UUIDs that callers use.

    Examples
    --------
    >>> decision_id(7)
    'benchmark-0000-4000-8000-000000000007'
    """
    return f"benchmark-0000-4000-8000-{number:0{ID_DIGITS}d}"


def request_number(of_decision_id: str) -> int:
    """The number of the request with this decision id."""
    return int(of_decision_id[-ID_DIGITS:])


def train_benchmark(seed: int = 1) -> Trained:
    """The benchmark's model: 500 trees of 31 leaves, 30 numbers as inputs, in six reason groups."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(ROWS, INPUTS)).round(4)
    labels = (rows[:, :5].sum(axis=1) + generator.normal(size=ROWS) > 2).astype(float)
    features = tuple(
        Feature(name=f"input_{index}", dtype="float", reason_group=f"group_{index % REASON_GROUPS}")
        for index in range(INPUTS)
    )
    parameters = {"objective": "binary", "num_leaves": LEAVES}
    return _trained(BENCHMARK, features, rows, labels, parameters, TREES, seed)


def train_card_fraud(seed: int = 1) -> Trained:
    """A model with the inputs of card_fraud and the parameters that its search begins with, on made-up rows."""
    from lifecycle.modelling.search import DEFAULT
    from lifecycle.spec.model_files import read_model

    # Made-up rows follow from nothing, so that requests carry every input; `benchmarks.derived_features` derives some.
    features = tuple(
        msgspec.structs.replace(feature, source="request", derivation=msgspec.UNSET)
        for feature in read_model(CARD_FRAUD).contract_features
    )
    generator = np.random.default_rng(seed)
    rows = np.column_stack([_values(feature, generator) for feature in features])
    ranks = rows.argsort(axis=0).argsort(axis=0) / ROWS
    odds = 6 * ranks[:, ::3].mean(axis=1) + generator.normal(size=ROWS)
    labels = (odds > np.quantile(odds, 0.98)).astype(float)
    return _trained(CARD_FRAUD, features, rows, labels, dict(DEFAULT), CARD_FRAUD_TREES, seed)


def _values(feature: Feature, generator: np.random.Generator) -> NDArray[np.float64]:
    """Made-up values within a feature's bounds: rare shares, flags, counts, hours or amounts."""
    low = feature.minimum or 0.0
    if feature.dtype == "int":
        if feature.maximum == 1:
            return generator.integers(0, 2, ROWS).astype(float)
        return np.asarray(low + generator.poisson(6, ROWS), dtype=np.float64)
    if feature.maximum is None:
        return np.asarray(low + generator.gamma(2.0, 40.0, ROWS)).round(2)
    if feature.maximum <= 1:
        return np.asarray(generator.beta(0.2, 4.0, ROWS) * feature.maximum).round(4)
    return np.asarray(generator.uniform(low, feature.maximum, ROWS)).round(2)


def _trained(
    name: str,
    features: tuple[Feature, ...],
    rows: Matrix,
    labels: NDArray[np.float64],
    parameters: dict[str, Any],
    trees: int,
    seed: int,
) -> Trained:
    import lightgbm

    chosen = {**parameters, "objective": "binary", "verbosity": -1, "num_threads": 2, "seed": seed}
    dataset = lightgbm.Dataset(rows, labels, feature_name=[feature.name for feature in features])
    return Trained(name, features, lightgbm.train(chosen, dataset, trees), rows, chosen)


@dataclass(frozen=True)
class Home:
    """A folder with keys and a release store of its own."""

    folder: Path
    settings: Settings
    keys: Keys
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def under(cls, folder: Path) -> "Home":
        """A new home in a folder."""
        settings = Settings(home=folder)
        return cls(folder, settings, ensure_keys(settings))

    @property
    def store(self) -> ReleaseStore:
        """The releases."""
        return ReleaseStore(self.settings.release_store, self.keys)

    def seal(self, trained: Trained) -> str:
        """Write a model's bundle and return its digest."""
        return write_bundle(
            self.settings.release_store,
            _bundle_files(trained),
            lineage=Lineage(
                as_of="2026-01-01",
                training_set_digest="",
                code_commit=None,
                parameters=trained.parameters,
                seed=1,
                library_versions={},
            ),
            verdicts=(Verdict(gate="benchmark", is_passed=True, summary="made for the benchmark"),),
            keys=self.keys,
        )

    def publish(self, model: str, bundle_digest: str, store: ReleaseStore | None = None) -> int:
        """Make a bundle the champion and return the release's number."""
        published = (store or self.store).publish(
            model, bundle_digest, by="benchmark", reason="benchmark", is_withdrawn_allowed=True
        )
        return published.number

    def environment(self) -> dict[str, str]:
        """Settings of another server on this store, with a log and a cache of its own."""
        own = self.folder / f"server_{next(self._numbers)}"
        return {
            "SERVING_STORE": str(self.settings.release_store),
            "SERVING_PUBLIC_KEY": str(self.keys.public_key_path),
            "SERVING_PSEUDONYM_KEY": str(self.keys.pseudonym_key_path),
            "SERVING_LOG_DIR": str(own / "log"),
            "SERVING_CACHE_DIR": str(own / "cache"),
        }


class StagedReleases:
    """Releases that `ReleaseStore` published in a copy of the store, to be put into the real one under load.

    Verifying a bundle takes the processor that the load generator needs; what a server sees is the same: the next
    number appears, whole, at once.
    """

    def __init__(self, home: Home, model: str, bundle_digests: Sequence[str], folder: Path) -> None:
        shutil.copytree(home.settings.release_store, folder)
        staging = ReleaseStore(folder, home.keys)
        self._source = folder / "releases" / model
        self._target = home.settings.release_store / "releases" / model
        self.bundles = {home.publish(model, digest, staging): digest for digest in bundle_digests}
        self._numbers = iter(sorted(self.bundles))

    def publish_next(self) -> int:
        """Put the next release in place and return its number."""
        number = next(self._numbers)
        (self._target / file_name(number)).hardlink_to(self._source / file_name(number))
        return number


def _bundle_files(trained: Trained) -> dict[str, bytes]:
    groups = sorted({feature.reason_group for feature in trained.features if feature.reason_group})
    texts = {group: f"What we know of {group.replace('_', ' ')} speaks against it." for group in groups}
    deciding = Deciding(
        schema_version=1,
        model=trained.name,
        features=trained.features,
        calibration=CALIBRATION,
        bands=BANDS,
        reason_texts=ReasonTexts(version=f"{dt.date(2026, 1, 1)}", texts=texts),
    )
    golden_rows = trained.rows[:GOLDEN_ROWS]
    contributions = trained.booster.predict(golden_rows, pred_contrib=True).tolist()
    golden = [
        GoldenRow(
            features=trained.as_features(row),
            margin=margin,
            score=probability(margin, CALIBRATION),
            contributions=tuple(added),
        )
        for row, margin, added in zip(golden_rows.tolist(), trained.margins(golden_rows), contributions, strict=True)
    ]
    return {
        "model.txt": trained.booster.model_to_string().encode(),
        "deciding.json": encode(deciding),
        "golden.jsonl": b"".join(_json_line(row) for row in golden),
        "card.html": b"<html></html>",
    }


def _json_line(row: GoldenRow) -> bytes:
    return msgspec.json.encode(row) + b"\n"


def median_bytes(bodies: Sequence[bytes]) -> int:
    """The usual size of these bodies."""
    return round(statistics.median(map(len, bodies)))
