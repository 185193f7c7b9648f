"""The gates of a candidate as blocking checks; the evidence keeps their verdicts by the candidate's digest."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from lifecycle.artefacts.against_champion import champion_model
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.asked_runs import why_backtest
from lifecycle.assets.behaviour import behaviour_verdicts, calibration_verdict, recipe_of
from lifecycle.assets.fairness import fairness_verdict
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import record
from lifecycle.assets.partitions import as_of_dates, date_of
from lifecycle.assets.plots import shown
from lifecycle.assets.recording import record_verdicts
from lifecycle.assets.resources import Stores
from lifecycle.assets.rival import rival_verdicts
from lifecycle.assets.served import prepared_sandbox, served_verdicts
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import (
    DESCRIPTIONS,
    GATES,
    above_floor,
    beats_baseline,
    bounded_declines,
    enough_evidence,
    no_leaking_feature,
    not_worse_than_champion,
    point_in_time,
)
from lifecycle.gates.champion import champion_for
from lifecycle.gates.comparison import ChampionModel, JudgedModel, compare_with_baseline, compare_with_champion
from lifecycle.gates.outcomes import WORDS
from lifecycle.modelling.single_features import feature_auc
from lifecycle.modelling.thresholds import count_bands, floors
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.modelling.windows import holdout, judged_rows, recent_traffic, released_window
from lifecycle.releases.ledger.events import run_actor
from lifecycle.reports.gate_plots import gate_plots
from lifecycle.spec.cadence import EVERY_DAY, RECENT_DAYS
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Verdict


def gate_checks(spec: RiskModelSpec) -> dg.AssetChecksDefinition:
    """The blocking checks of a model's candidates."""
    keys, partitions = ModelKeys(spec.name), as_of_dates(spec)

    @dg.multi_asset_check(
        name=f"{spec.name}_gates",
        specs=[
            dg.AssetCheckSpec(
                gate,
                asset=keys.candidate,
                blocking=True,
                description=DESCRIPTIONS[gate],
                partitions_def=partitions,
            )
            for gate in GATES
        ],
    )
    def run_gates(context: dg.AssetCheckExecutionContext, stores: Stores) -> Iterator[dg.AssetCheckResult]:
        as_of = context.op_execution_context.partition_key
        evidence = judge(spec, stores, as_of)
        is_backtest = why_backtest(spec, stores, context.instance, context.run, as_of) is not None
        record_verdicts(spec, stores, evidence, run_actor(context.run.run_id), is_backtest=is_backtest)
        stores.evidence(spec.name).write_gates(evidence, is_backtest=is_backtest)
        # A warning fails no run: a refused backtest is a result.
        severity = dg.AssetCheckSeverity.WARN if is_backtest else dg.AssetCheckSeverity.ERROR
        for verdict in evidence.verdicts:
            yield dg.AssetCheckResult(
                asset_key=keys.candidate,
                check_name=verdict.gate,
                passed=verdict.is_passed,
                severity=severity,
                description=verdict.summary,
                metadata={"candidate_digest": evidence.candidate_digest, "outcome": verdict.outcome}
                | numbers(verdict)
                | shown(gate_plots(verdict)),
            )
        if not evidence.is_passed and not is_backtest:
            record(
                spec,
                stores,
                stores.candidates(spec.name).current(as_of),
                evidence,
                WORDS[evidence.outcome],
                context.run.run_id,
            )

    return run_gates


def numbers(verdict: Verdict) -> dict[str, Any]:
    """Each number of a verdict as a value of its own, which the UI shows in a column and plots over the partitions."""
    return {
        f"{side}/{name}": "none" if value is None else value
        for side, values in (("observed", verdict.observed), ("required", verdict.required))
        for name, value in values.items()
    }


def judge(spec: RiskModelSpec, stores: Stores, as_of: str) -> GateEvidence:
    """Every gate's verdict on the current candidate of `as_of`.

    Raises
    ------
    LifecycleError
        If it was trained on another training set than the current one.
    """
    candidate = stores.candidates(spec.name).current(as_of)
    snapshot = stores.training_sets(spec.name).describe(as_of)
    if snapshot.digest != candidate.lineage.training_set_digest:
        raise LifecycleError(
            f"Expected a candidate trained on the training set {snapshot.digest}, got one trained on "
            f"{candidate.lineage.training_set_digest}; materialise {spec.name}/candidate again - as of {as_of}"
        )
    return judge_candidate(spec, stores, candidate)


@dataclass(frozen=True)
class Champion:
    """The champion that a candidate competes with; both are ``None`` before the first release."""

    digest: str | None
    model: ChampionModel | None

    def rival(self, candidate: Candidate) -> ChampionModel | None:
        """The model to compare with; ``None`` if the candidate itself is the champion."""
        return None if self.digest == candidate.digest else self.model


def judge_candidate(
    spec: RiskModelSpec,
    stores: Stores,
    candidate: Candidate,
    examples: Examples | None = None,
    champion: Champion | None = None,
) -> GateEvidence:
    """Every gate's verdict on a candidate, on the very training set that it was trained on.

    Parameters
    ----------
    examples
        That training set; ``None`` to read it.
    champion
        The one to compete with; ``None`` for that of the candidate's date.
    """
    as_of, training_set = candidate.lineage.as_of, candidate.lineage.training_set_digest
    with prepared_sandbox(stores, candidate) as prepared:
        if examples is None:
            examples = examples_from_table(stores.training_sets(spec.name).read_whole(as_of, training_set), spec)
        champion = champion or _champion(spec, stores, as_of)
        verdicts = _offline_verdicts(spec, stores, candidate, examples, champion)
        rival = champion.rival(candidate)
        verdicts += served_verdicts(spec, stores, prepared, candidate, examples, rival, verdicts)
    return GateEvidence(
        model=spec.name,
        candidate_digest=candidate.digest,
        training_set_digest=training_set,
        as_of=as_of,
        verdicts=verdicts,
    )


def _offline_verdicts(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, examples: Examples, champion: Champion
) -> tuple[Verdict, ...]:
    """The verdicts of all gates that need no server."""
    evaluation = candidate.evaluation
    windows = {window.name: enough_evidence.Evidence(window.rows, window.positives) for window in evaluation.windows}
    date, maturity_days, positive = (
        date_of(candidate.lineage.as_of),
        spec.label.maturity_days,
        spec.label.names.positive,
    )
    return (
        enough_evidence.enough_evidence(windows["judged"], windows["holdout"], spec.gates, positive),
        point_in_time.point_in_time(
            examples,
            evaluation.windows,
            date,
            spec.training,
            maturity_days,
            spec.examples.cadence,
            date_of(evaluation.trained_until) if candidate.is_external else None,
        ),
        above_floor.above_floor(evaluation.holdout.metrics, spec.gates),
        _leakage_verdict(spec, examples, date),
        _baseline_verdict(spec, candidate, examples, date),
        _champion_verdict(spec, candidate, examples, date, champion),
        *rival_verdicts(
            spec,
            candidate,
            examples,
            date,
            _judged_model(spec, candidate),
            champion.rival(candidate),
            is_champion=champion.digest == candidate.digest,
        ),
        _declines_verdict(spec, candidate, examples, date),
        fairness_verdict(
            spec,
            stores,
            examples,
            date,
            _judged_model(spec, candidate),
            candidate.deciding.bands,
            champion.rival(candidate),
        ),
        *_behaviour_verdicts(spec, candidate, examples, date),
    )


def _leakage_verdict(spec: RiskModelSpec, examples: Examples, as_of: dt.date) -> Verdict:
    outcomes, features = holdout(spec, examples, as_of)
    ranked = feature_auc(features, outcomes.is_positive, spec.features)
    return no_leaking_feature.no_leaking_feature(ranked, spec.gates)


def _declines_verdict(spec: RiskModelSpec, candidate: Candidate, examples: Examples, as_of: dt.date) -> Verdict:
    """The stored deciding file's bands on the released model's scores of the last days."""
    deciding = candidate.deciding
    traffic = recent_traffic(spec, examples, as_of, candidate.model_text, deciding.calibration)
    counts = count_bands(traffic, deciding.bands)
    evaluation = candidate.evaluation
    least_days = RECENT_DAYS["event"] if spec.examples.cadence in EVERY_DAY else 1
    bounds = bounded_declines.Bounds(spec.maximum_decline_share, least_days)
    lowest = floors(spec.decision, released_window(evaluation.windows, evaluation.is_refitted).base_rate)
    return bounded_declines.bounded_declines(deciding.bands, counts, lowest, spec.decision, bounds)


def _baseline_verdict(spec: RiskModelSpec, candidate: Candidate, examples: Examples, as_of: dt.date) -> Verdict:
    looked = None
    if spec.gates.margin is not None:
        looked = compare_with_baseline(spec, examples, as_of, _judged_model(spec, candidate))
    return beats_baseline.beats_baseline(candidate.evaluation.baseline_difference, spec.gates, looked)


def _judged_model(spec: RiskModelSpec, candidate: Candidate) -> JudgedModel:
    recipe = recipe_of(spec, candidate)
    return JudgedModel(
        candidate.judged_model_text, candidate.evaluation.judged_calibration, recipe.fit if recipe else None
    )


def _behaviour_verdicts(
    spec: RiskModelSpec, candidate: Candidate, examples: Examples, as_of: dt.date
) -> tuple[Verdict, ...]:
    outcomes, features = holdout(spec, examples, as_of)
    recipe = recipe_of(spec, candidate)
    refit = None if recipe is None else partial(recipe.fit, judged_rows(spec, examples, as_of))
    return (
        calibration_verdict(candidate, outcomes, features, spec.gates),
        *behaviour_verdicts(candidate, features, refit, spec.gates),
    )


def _champion(spec: RiskModelSpec, stores: Stores, as_of: str) -> Champion:
    release = champion_for(stores.releases().history(spec.name), as_of)
    if release is None:
        return Champion(None, None)
    champion = stores.champion_candidate(spec.name, release)
    return Champion(champion.digest, champion_model(champion, release.bundle_digest))


def _champion_verdict(
    spec: RiskModelSpec, candidate: Candidate, examples: Examples, as_of: dt.date, champion: Champion
) -> Verdict:
    rival, comparison = champion.rival(candidate), None
    if rival is not None:
        comparison = compare_with_champion(spec, examples, as_of, _judged_model(spec, candidate), rival)
    return not_worse_than_champion.not_worse_than_champion(
        candidate.digest,
        champion.digest,
        comparison,
        spec.gates,
        spec.training,
        spec.label.maturity_days,
        spec.examples.cadence,
    )
