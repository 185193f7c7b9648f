"""The gates: blocking checks on a candidate, whose verdicts are kept for exactly its digest."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import msgspec
import numpy as np

from lifecycle.artefacts.candidates import JUDGED_MODEL_FILE, Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.partitions import date_of
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates import candidate_gates
from lifecycle.gates.champion import champion_for
from lifecycle.modelling.evaluation import Interval, paired_difference
from lifecycle.modelling.training import holdout, predict
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray, instant
from serving.contract.documents import MODEL_FILE, Calibration, SlotRelease, Verdict

DESCRIPTIONS = {
    candidate_gates.ENOUGH_EVIDENCE: "Enough rows and frauds, in training and in the holdout.",
    candidate_gates.POINT_IN_TIME: "No feature row and no label from after its time, checked again on the snapshot.",
    candidate_gates.BEATS_BASELINE: "Better than a logistic regression on the same windows.",
    candidate_gates.NOT_WORSE_THAN_CHAMPION: (
        "Not worse than the champion beyond the interval, on days that neither has seen."
    ),
}


def gate_checks(spec: RiskModelSpec) -> dg.AssetChecksDefinition:
    """The blocking checks of a model's candidates."""
    keys = ModelKeys(spec.name)

    @dg.multi_asset_check(
        name=f"{spec.name}_gates",
        specs=[
            dg.AssetCheckSpec(gate, asset=keys.candidate, blocking=True, description=DESCRIPTIONS[gate])
            for gate in candidate_gates.GATES
        ],
    )
    def run_gates(context: dg.AssetCheckExecutionContext, stores: Stores) -> Iterator[dg.AssetCheckResult]:
        evidence = judge(spec, stores, context.op_execution_context.partition_key)
        stores.evidence(spec.name).write_gates(evidence)
        for verdict in evidence.verdicts:
            yield dg.AssetCheckResult(
                asset_key=keys.candidate,
                check_name=verdict.gate,
                passed=verdict.is_passed,
                description=verdict.summary,
                metadata={
                    "candidate_digest": evidence.candidate_digest,
                    "observed": dict(verdict.observed),
                    "required": dict(verdict.required),
                },
            )

    return run_gates


def judge(spec: RiskModelSpec, stores: Stores, as_of: str) -> GateEvidence:
    """Every gate's verdict on the candidate that stands for `as_of`."""
    candidate = stores.candidates(spec.name).standing(as_of)
    snapshot = stores.training_sets(spec.name).describe(as_of)
    if snapshot.digest != candidate.lineage.training_set_digest:
        raise LifecycleError(
            f"Expected a candidate trained on the training set {snapshot.digest}, got one trained on "
            f"{candidate.lineage.training_set_digest}; materialise {spec.name}/candidate again - as of {as_of}"
        )
    examples = examples_from_table(stores.training_sets(spec.name).read(as_of), spec)
    evaluation = candidate.evaluation
    windows = {
        window["name"]: candidate_gates.Evidence(window["rows"], window["frauds"]) for window in evaluation["windows"]
    }
    difference = msgspec.convert(evaluation["baseline_difference"], dict[str, Interval])
    date, maturity_days = date_of(as_of), spec.label.maturity_days
    return GateEvidence(
        model=spec.name,
        candidate_digest=candidate.digest,
        training_set_digest=snapshot.digest,
        as_of=as_of,
        verdicts=(
            candidate_gates.enough_evidence(windows["judged"], windows["holdout"], spec.gates),
            candidate_gates.point_in_time(examples, date, spec.training, maturity_days),
            candidate_gates.beats_baseline(difference, spec.gates),
            _champion_verdict(spec, stores, candidate, examples, date),
        ),
    )


def _champion_verdict(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, examples: Examples, as_of: dt.date
) -> Verdict:
    champion = champion_for(stores.releases().history(spec.name), as_of.isoformat())
    standing = stores.champion_candidate(spec.name, champion) if champion else None
    comparison = None
    if champion is not None and standing is not None and standing.digest != candidate.digest:
        comparison = _comparison(spec, candidate, champion, standing, examples, as_of)
    return candidate_gates.not_worse_than_champion(
        candidate.digest,
        standing.digest if standing else None,
        comparison,
        spec.gates,
        spec.training,
        spec.label.maturity_days,
    )


def _comparison(
    spec: RiskModelSpec,
    candidate: Candidate,
    champion: SlotRelease,
    standing: Candidate,
    examples: Examples,
    as_of: dt.date,
) -> candidate_gates.ChampionComparison | None:
    """Candidate and champion on the holdout days that neither was fitted on; ``None`` if there is no such day."""
    outcomes, features = holdout(spec, examples, as_of)
    end = as_of - dt.timedelta(days=spec.label.maturity_days)
    start = end - dt.timedelta(days=spec.training.holdout_days)
    trained_until = date_of(standing.evaluation["trained_until"])
    unseen = candidate_gates.unseen_days(start, end, trained_until)
    if unseen is None:
        return None
    rows = np.flatnonzero(outcomes.occurred_at >= instant(unseen[0]))
    outcomes, features = outcomes.rows(rows), features[rows]
    frauds = int(outcomes.is_fraud.sum())
    difference = None
    if 0 < frauds < len(outcomes):
        calibration = msgspec.convert(candidate.evaluation["judged_calibration"], Calibration)
        ours = predict(candidate.read(JUDGED_MODEL_FILE), calibration, features)
        theirs = predict(standing.read(MODEL_FILE), standing.deciding.calibration, _columns(spec, standing, features))
        capacity, confidence = spec.decision.review_cards_per_day, spec.gates.confidence
        difference = paired_difference(outcomes, ours, theirs, capacity, confidence=confidence)
    return candidate_gates.ChampionComparison(
        champion_digest=champion.bundle_digest,
        champion_trained_until=trained_until,
        unseen_start=unseen[0],
        unseen_end=unseen[1],
        rows=len(outcomes),
        frauds=frauds,
        difference=difference,
    )


def _columns(spec: RiskModelSpec, standing: Candidate, features: FloatArray) -> FloatArray:
    """The features in the champion's order, which may have had fewer of them.

    Raises
    ------
    LifecycleError
        If the champion needs a feature that the model no longer has.
    """
    names = [feature.name for feature in standing.deciding.features]
    missing = [name for name in names if name not in spec.feature_names]
    if missing:
        raise LifecycleError(
            f"Expected the champion's {len(names)} features to compare with it, missing {missing}; keep them in "
            "`features` until a model without them was promoted by a person"
        )
    return np.ascontiguousarray(features[:, [spec.feature_names.index(name) for name in names]])
