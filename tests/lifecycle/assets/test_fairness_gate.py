"""Runs of Dagster up to the release: an unfair candidate stops at the gate `fair_by_group`, a fair one does not."""

from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.artefacts.bundles import verified_bundle
from lifecycle.assets.registry import model_version_asset
from lifecycle.assets.resources import Stores
from lifecycle.assets.rollout import release_asset
from lifecycle.assets.training import candidate_asset
from lifecycle.assets.validation import gate_checks
from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.candidate_gates.fair_by_group import NAME
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Use, open_warehouse
from serving.contract.documents import CARD_FILE
from tests.harness.toy_model import AS_OF, SPEC, card_table, spec_with
from tests.harness.toy_platform import FakeRegistry, failure, freeze, materialize

CUSTOMERS = 200
FAIRNESS = {"minimum_rows": 100, "minimum_events": 20, "intersections": [["sex", "age_band"]]}


def cut_off_spec(**changes: Any) -> RiskModelSpec:
    """The toy model with decisions by cut-offs and protected customers, promoted automatically."""
    return spec_with(
        **{
            "reason_texts": None,
            "promotion": {"mode": "auto"},
            "protected": {"relation": "customers", "columns": ["sex", "age_band"]},
            "fairness": FAIRNESS,
            "decision": {"review_from": 0.05, "decline_from": 0.4},
            "training": SPEC["training"] | {"search": {"trials": 2, "num_threads": 1}},
        }
        | changes
    )


def load_customers(stores: Stores) -> None:
    """A customer in two is female, and one in two of each sex is young."""
    ids = np.arange(CUSTOMERS)
    customers = pa.table({
        "customer_id": pa.array(ids, pa.int64()),
        "segment": ["basic"] * CUSTOMERS,
        "age_band": np.where(ids // 2 % 2 == 0, "18-34", "35+"),
        "sex": np.where(ids % 2 == 0, "female", "male"),
    })  # fmt: skip
    with open_warehouse(stores.settings, Use("load")).session("customers") as session:
        session.append("protected.customers", customers)


def transactions(*, spread: float = 1.0) -> pa.Table:
    """The toy's transactions, with a feature that varies `spread` times as much for women; the frauds follow it."""
    table, random = card_table(16_000), np.random.default_rng(3)
    is_female = table["customer_id"].to_numpy() % 2 == 0
    risk = random.normal(size=table.num_rows) * np.where(is_female, spread, 1.0)
    odds = 4.0 * (table["amount"].cast(pa.float64()).to_numpy() > 250) + 3.0 * (np.abs(risk) > 1.8) - 5.0
    is_fraud = random.random(table.num_rows) < 1 / (1 + np.exp(-odds))
    reported = table["occurred_at"].to_numpy() + np.timedelta64(1, "D")
    is_known = is_fraud & (reported < np.datetime64(AS_OF.isoformat(), "us"))
    columns = {"risk": pa.array(risk), "reported_at": pa.array(reported, pa.timestamp("us"), mask=~is_known)}
    return pa.table({name: columns.get(name, table[name]) for name in table.column_names})


def run(stores: Stores, spec: RiskModelSpec, table: pa.Table) -> dg.ExecuteInProcessResult:
    """Train, judge, register and release."""
    freeze(stores, spec, table)
    assets = [candidate_asset(spec), gate_checks(spec), model_version_asset(spec), release_asset(spec)]
    return materialize(stores, assets, AS_OF)


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {check.check_name: check.metadata["outcome"].value for check in result.get_asset_check_evaluations()}


@pytest.mark.long
def test_a_fair_candidate_is_released_and_its_card_shows_the_groups(stores: Stores, registry: FakeRegistry) -> None:
    load_customers(stores)
    result = run(stores, cut_off_spec(), transactions())
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks[NAME].passed, checks[NAME].description
    assert result.success, failure(result)
    [release] = stores.releases().history("toy")
    keys = stores.key_ring().public_keys
    bundle = verified_bundle(stores.settings.release_store, release.champion.bundle_digest, keys)
    card = bundle.files[CARD_FILE].decode()
    for text in ("<h2>Fairness</h2>", "female × 18-34", "minimum impact ratio", "ROC AUC with which the inputs"):
        assert text in card
    shown: dict[str, Any] = {name: value.value for name, value in checks[NAME].metadata.items()}
    assert shown["required/minimum_impact_ratio"] == 0.8
    assert shown["observed/sex/impact_ratio"] > 0.9
    assert {row["group"] for row in shown["observed/groups"]} >= {"female", "male", "18-34", "35+"}
    for plot in ("favourable_rate", "false_positive_rate"):
        assert shown[plot].startswith("![" + plot.replace("_", " "))
    assert set(registry.versions) == {bundle.manifest.candidate_digest}


def test_an_unfair_candidate_is_stopped_by_this_gate_alone(stores: Stores, registry: FakeRegistry) -> None:
    load_customers(stores)
    result = run(stores, cut_off_spec(), transactions(spread=3.0))
    assert not result.success
    assert outcomes(result) == dict.fromkeys(GATES, "PASS") | {NAME: "FAIL"}
    candidate = stores.candidates("toy").current(AS_OF.isoformat())
    assert registry.versions == {}
    assert registry.outcomes == [(candidate.digest, "refused")]
    assert stores.releases().history("toy") == ()
    [refusal] = stores.evidence("toy").gates(candidate.digest).refusals
    assert "sex = female against male: impact_ratio (stopped)" in refusal.summary


@pytest.mark.long
@pytest.mark.parametrize(
    ("protected", "is_dropped", "reason"),
    [
        ({"relation": "customers", "columns": ["sex"]}, True, "Expected a relation protected.customers, found none"),
        ({"relation": "customers", "columns": ["sex"]}, False, "sex is unknown for 100.0% of the rows"),
        ({"relation": "gone", "columns": ["sex"]}, False, "Expected a declared raw table, got 'gone'"),
        (None, False, "add `protected: {relation: ..., columns: [...]}`, or `protected: {none: why}`"),
    ],
)
def test_without_protected_attributes_a_candidate_is_inconclusive_and_not_registered(
    stores: Stores, registry: FakeRegistry, protected: dict[str, Any] | None, is_dropped: bool, reason: str
) -> None:
    if is_dropped:
        with open_warehouse(stores.settings, Use("load")).session("a fault") as session:
            session.execute("drop table protected.customers")
    fairness = {"minimum_rows": 100, "minimum_events": 20}
    result = run(stores, cut_off_spec(protected=protected, fairness=fairness), transactions())
    assert not result.success
    assert outcomes(result) == dict.fromkeys(GATES, "PASS") | {NAME: "INCONCLUSIVE"}
    candidate = stores.candidates("toy").current(AS_OF.isoformat())
    [refusal] = stores.evidence("toy").gates(candidate.digest).refusals
    assert reason in refusal.summary
    assert registry.outcomes == [(candidate.digest, "inconclusive")]
    assert stores.releases().history("toy") == ()
