"""A toy home with a history to audit: two releases, a rollback, a shadow, a freeze and a canary, and a real server."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.recording import record_training, record_verdicts, record_version
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import fit_candidate
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.releases.ledger.events import run_actor
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model
from serving.contract.documents import Release
from serving.process.app import create_app
from tests.harness.api import settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.server_process import eventually, served
from tests.harness.small_models import SmallStore
from tests.harness.toy_home import ToyHome, toy_home
from tests.harness.toy_model import AS_OF, card_table
from tests.harness.toy_platform import evidence_of, freeze

COMMIT = "c0ffee" + "0" * 34
CUSTOMER = 7
DECISIONS = ("first", "second", "back", "shadowed", "frozen", "canaried")
"""Decision ids in the order in which they were made."""
MODEL = "toy"


@dataclass(frozen=True)
class AuditedHome:
    """What was done in the home, in order."""

    home: ToyHome
    candidates: tuple[Candidate, Candidate]
    bundles: tuple[str, str]
    training_set: str
    releases: tuple[Release, ...]
    answers: dict[str, dict[str, Any]]

    @property
    def settings(self) -> Settings:
        """Settings of the home."""
        return self.home.settings


def audited_home(root: Path, patch: pytest.MonkeyPatch, *, is_own_process: bool) -> AuditedHome:
    """Make the home and its history; takes some seconds, more if the server has a process of its own."""
    patch.setenv("LIFECYCLE_CODE_COMMIT", COMMIT)
    home = toy_home(root, patch)
    stores = home.stores
    training_set = freeze(stores, read_model(MODEL), card_table()).description.digest
    first = _made(home, stores, training_set, "run-1")
    training = {"train": 6, "validation": 2, "holdout": 3, "search": {"trials": 1, "seed": 7, "num_threads": 1}}
    home.write(training=training)
    second = _made(home, stores, training_set, "run-2")
    bundles = (first[1], second[1])
    releases, answers = _history(stores, bundles, is_own_process=is_own_process)
    return AuditedHome(home, (first[0], second[0]), bundles, training_set, tuple(releases), answers)


def _made(home: ToyHome, stores: Stores, training_set: str, run: str) -> tuple[Candidate, str]:
    """A candidate by today's model file, judged and sealed, with its records in the ledger."""
    spec, actor = read_model(MODEL), run_actor(run)
    examples = examples_from_table(stores.training_sets(MODEL).read_whole(AS_OF.isoformat(), training_set), spec)
    candidate, _ = fit_candidate(spec, examples, AS_OF, training_set, stores.candidates(MODEL))
    record_training(spec, stores, candidate, actor)
    evidence = evidence_of(candidate)
    record_verdicts(spec, stores, evidence, actor)
    stores.evidence(MODEL).write_gates(evidence)
    bundle = seal(spec, stores, candidate, evidence)
    record_version(stores, MODEL, bundle, candidate.digest, "1", actor)
    assert home.settings.release_store.is_dir()
    return candidate, bundle


def _history(
    stores: Stores, bundles: tuple[str, str], *, is_own_process: bool
) -> tuple[list[Release], dict[str, dict[str, Any]]]:
    first, second = bundles
    store = stores.releases()
    releases = [store.publish(MODEL, first, by="ana", reason="the first release")]
    answers: dict[str, dict[str, Any]] = {}
    installation = SmallStore(stores.settings, stores.key_ring(), store)
    with _own_process(installation) if is_own_process else _in_process(installation) as client:

        def decide(decision_id: str) -> None:
            eventually(lambda: _served_number(client) == releases[-1].number)
            answers[decision_id] = _answer(client, decision_id)

        decide("first")
        releases.append(store.publish(MODEL, second, by="ben", reason="a better one"))
        decide("second")
        releases.append(store.rollback(MODEL, by="eve", reason="too many reviews"))
        decide("back")
        releases.append(store.put_shadow(MODEL, second, by="ben", reason="watch it"))
        decide("shadowed")
        store.switches.freeze(by="eve", reason="an audit")
        decide("frozen")
        store.switches.unfreeze(by="eve", reason="the audit is over")
        canary = store.put_canary(
            MODEL, second, percent=100, by="ben", reason="try it", salt="s", is_withdrawn_allowed=True
        )
        releases.append(canary)
        decide("canaried")
    return releases, answers


@contextlib.contextmanager
def _own_process(store: SmallStore) -> Iterator[httpx.Client]:
    with served(store) as server:
        yield server.client
        server.stop()


@contextlib.contextmanager
def _in_process(store: SmallStore) -> Iterator[InProcessClient]:
    with InProcessClient(create_app(settings_of(store))) as client:
        yield client


def _served_number(client: httpx.Client | InProcessClient) -> int | None:
    [model] = client.get("/v1/models").json()["models"]
    number: int | None = model["release_number"]
    return number


def _answer(client: httpx.Client | InProcessClient, decision_id: str) -> dict[str, Any]:
    features = {"amount": 250.5, "is_weekend": 1, "segment": "gold", "risk": 2.5}
    response = client.post(
        f"/v1/models/{MODEL}/score",
        json={
            "decision_id": decision_id,
            "transaction_id": f"t-{decision_id}",
            "entity_key": str(CUSTOMER),
            "occurred_at": "2024-02-02T12:00:00Z",
            "features": features,
        },
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
