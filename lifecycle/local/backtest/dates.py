"""One date of a backtest, by the same functions as the assets: training set, candidate, gates, drift."""

import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifecycle.artefacts.backtests import BacktestStore, DateDrift, DateResult, RecipeResult
from lifecycle.artefacts.candidates import Candidate, CandidateStore
from lifecycle.artefacts.evidence import EvidenceStore
from lifecycle.artefacts.paired_holdouts import HoldoutScores, holdout_scores, pair
from lifecycle.assets.resources import Stores
from lifecycle.assets.served import begin_standby
from lifecycle.assets.training import fit_candidate
from lifecycle.assets.validation import judge_candidate
from lifecycle.gates.champion import champion_for
from lifecycle.local.backtest.plan import Asked
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.modelling.windows import predict
from lifecycle.monitoring.between_dates import drift_since
from lifecycle.settings.platform import Settings
from lifecycle.spec.cadence import RECENT_DAYS
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import instant
from serving.contract.documents import MODEL_FILE


@dataclass(frozen=True)
class DateTask:
    """A date whose training set is frozen; its result goes to `folder`."""

    asked: Asked
    folder: Path
    as_of: dt.date
    training_set_digest: str


def candidates_of(settings: Settings, model: str) -> CandidateStore:
    """Candidates of all backtests of a model; without golden rows, so that none of them can be sealed."""
    return CandidateStore(settings.backtests_dir / "candidates", model)


def evidence_of(settings: Settings, model: str) -> EvidenceStore:
    """The gates' verdicts on those candidates, apart from the evidence of the installation."""
    return EvidenceStore(settings.backtests_dir / "evidence", model)


def champion_bundle(spec: RiskModelSpec, stores: Stores, as_of: dt.date) -> str | None:
    """Bundle of the champion that a candidate of this date is compared with."""
    champion = champion_for(stores.releases().history(spec.name), as_of.isoformat())
    return champion.bundle_digest if champion else None


def compute(task: DateTask) -> DateResult:
    """Train and judge a date, and keep its result.

    Raises
    ------
    LifecycleError
        If the date cannot be computed: too little history, a window without positives.
    """
    started, stores, asked = time.monotonic(), Stores(), task.asked
    ours, our_scores, candidate = _recipe(stores, asked.spec, task)
    against, difference = None, None
    if asked.against is not None:
        against, their_scores, _ = _recipe(stores, asked.against, task)
        difference = pair(asked.spec, our_scores, their_scores).difference
    result = DateResult(
        model=asked.spec.name,
        as_of=task.as_of.isoformat(),
        training_set_digest=task.training_set_digest,
        windows=candidate.evaluation.windows,
        champion=champion_bundle(asked.spec, stores, task.as_of),
        ours=ours,
        against=against,
        difference=difference,
        seconds=round(time.monotonic() - started, 2),
    )
    BacktestStore(task.folder).write(result)
    return result


def compute_drift(task: DateTask, previous: DateResult) -> DateDrift:
    """Compare the last week before a date with the reference of the earlier date's model, and keep the result."""
    stores, spec, as_of = Stores(), task.asked.spec, task.as_of.isoformat()
    earlier = candidates_of(stores.settings, spec.name).by_digest(previous.ours.candidate_digest)
    examples = _examples(stores, spec, task)
    recent = examples.rows(
        examples.occurred_at >= instant(task.as_of - dt.timedelta(days=RECENT_DAYS[spec.examples.cadence]))
    )
    scored = predict(earlier.read(MODEL_FILE), earlier.deciding.calibration, recent.features)
    drift = DateDrift(
        as_of=as_of,
        previous=previous.as_of,
        previous_candidate=earlier.digest,
        training_set_digest=task.training_set_digest,
        psi=drift_since(earlier.reference, spec.feature_names, recent.features, scored.scores),
    )
    BacktestStore(task.folder).write_drift(drift)
    return drift


def _recipe(stores: Stores, spec: RiskModelSpec, task: DateTask) -> tuple[RecipeResult, HoldoutScores, Candidate]:
    """A recipe's candidate of the date, judged; and its judged model on the holdout."""
    begin_standby()
    examples = _examples(stores, spec, task)
    store = candidates_of(stores.settings, task.asked.spec.name)
    candidate, _ = fit_candidate(
        spec, examples, task.as_of, task.training_set_digest, store, is_current=False, is_releasable=False
    )
    evidence = judge_candidate(spec, stores, candidate, examples)
    evidence_of(stores.settings, task.asked.spec.name).write_gates(evidence, is_backtest=True)
    evaluation = candidate.evaluation
    result = RecipeResult(
        candidate.digest, evaluation.holdout.metrics, evaluation.baseline_difference, evidence.verdicts
    )
    return result, holdout_scores(spec, candidate, examples), candidate


def _examples(stores: Stores, spec: RiskModelSpec, task: DateTask) -> Examples:
    """The rows of the training set that a recipe's own windows need."""
    table = stores.training_sets(task.asked.spec.name).read_whole(task.as_of.isoformat(), task.training_set_digest)
    examples = examples_from_table(table, spec)
    start, _ = snapshot_days(task.as_of, spec.training, spec.label.maturity_days)
    if not len(examples) or examples.occurred_at[0] >= instant(start):
        return examples
    return examples.rows(np.asarray(examples.occurred_at >= instant(start)))
