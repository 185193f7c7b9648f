"""From the mart to a candidate: a training set frozen as of a date, and the model fitted on it."""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import dagster as dg

from lifecycle.artefacts.candidates import Candidate, CandidateStore, spec_file, training_files
from lifecycle.artefacts.lineage import code_commit, library_versions
from lifecycle.artefacts.training_sets import FrozenTrainingSet, Selection
from lifecycle.assets.asked_runs import expect_one_date, launched_by
from lifecycle.assets.backfill_limit import stop_large_backfill
from lifecycle.assets.keys import WAREHOUSE_POOL, Materialized, ModelKeys
from lifecycle.assets.labels import labels
from lifecycle.assets.partitions import as_of_dates, date_of, training_days
from lifecycle.assets.plots import shown
from lifecycle.assets.recording import record_training
from lifecycle.assets.resources import Stores
from lifecycle.gates import input_gates
from lifecycle.gates.usual_volume import REFERENCE_WEEKS
from lifecycle.modelling.external import ExternalModel
from lifecycle.modelling.search import Progress, search_gain
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import Examples, examples_from_table
from lifecycle.releases.ledger.events import run_actor
from lifecycle.reports.plots import model_plots
from lifecycle.settings.snowflake import Step
from lifecycle.spec.examples import LabelNames
from lifecycle.spec.external_files import external_path, read_external, read_file
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.examples import MARTS, daily_volumes, newest_event, training_batches
from serving.contract.documents import Lineage, Verdict


def training_set_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that freezes a training set."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.training_set,
        deps=[
            dg.AssetDep(dg.AssetKey([MARTS, relation]), partition_mapping=training_days(spec))
            for relation in filter(None, (spec.mart, spec.label.relation))
        ],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        **labels(spec, "training", "parquet"),
        pool=WAREHOUSE_POOL,
        description="Examples with their outcomes as known on the partition's date, and the last days before it, whose "
        "outcomes are not mature and not used; named by its digest.",
    )
    def training_set(context: dg.AssetExecutionContext, stores: Stores) -> Materialized:
        stop_large_backfill(context)
        expect_one_date(context)
        as_of = date_of(context.partition_key)
        frozen = freeze_training_set(spec, stores, as_of, partial(stores.warehouse, context))
        description = frozen.description
        return dg.MaterializeResult(
            metadata={
                "training_set_digest": description.digest,
                "dagster/row_count": description.rows,
                "known_outcomes" if spec.label.column else "reported_positives": description.reported,
                "first_day": description.first_day,
                "end_day": description.end_day,
                "folder": dg.MetadataValue.path(str(frozen.folder)),
            }
        )

    return training_set


def candidate_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that fits a candidate."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.candidate,
        deps=[keys.training_set],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        **labels(spec, "training", "lightgbm"),
        description=(
            "Model fitted on the training set of the partition's date; not registered or promoted. The metrics are "
            "those of the holdout. If the model is refitted afterwards, they judge the procedure, not these trees."
        ),
    )
    def candidate(context: dg.AssetExecutionContext, stores: Stores) -> Materialized:
        stop_large_backfill(context)
        expect_one_date(context)
        as_of = context.partition_key
        snapshots = stores.training_sets(spec.name)
        examples = examples_from_table(snapshots.read_whole(as_of), spec)
        digest, store = snapshots.describe(as_of).digest, stores.candidates(spec.name)
        stored, trained = fit_candidate(spec, examples, date_of(as_of), digest, store, _LoggedProgress(context))
        record_training(spec, stores, stored, run_actor(context.run.run_id), launched_by(context.run))
        return dg.MaterializeResult(metadata=candidate_metadata(spec, stored, trained))

    return candidate


def freeze_training_set(
    spec: RiskModelSpec,
    stores: Stores,
    as_of: dt.date,
    warehouse: Callable[[Step], Warehouse],
    *,
    is_current: bool = True,
) -> FrozenTrainingSet:
    """Freeze the training set of a date, if its input is complete.

    Parameters
    ----------
    warehouse
        Opens the warehouse for a step: the role that extracts may not see raw rows, so that the reading role checks
        that they are complete.
    is_current
        Whether it becomes the date's training set, or is only found by its digest.

    Raises
    ------
    dagster.Failure
        If the input is not complete; `LifecycleError` if there are no rows, or they are not as a training set needs.
    """
    start, end = snapshot_days(as_of, spec.training, spec.label.maturity_days, spec.examples.cadence)
    acknowledged = stores.acknowledged_days(spec.name)
    expect_complete_input(input_verdicts(warehouse("read"), spec, start, as_of, acknowledged), as_of)
    with closing(training_batches(warehouse("train"), spec, start, end, as_of)) as batches:
        selection = Selection(as_of, start, end)
        return stores.training_sets(spec.name).write(batches, spec, selection, is_current=is_current)


def fit_candidate(
    spec: RiskModelSpec,
    examples: Examples,
    as_of: dt.date,
    training_set_digest: str,
    store: CandidateStore,
    progress: Progress | None = None,
    *,
    is_current: bool = True,
    is_releasable: bool = True,
) -> tuple[Candidate, Trained]:
    """Train on a frozen training set and keep the candidate.

    Parameters
    ----------
    is_current
        Whether it becomes the date's candidate, or is only found by its digest.
    is_releasable
        Whether its golden rows are kept, without which no bundle can be sealed.
    """
    trained = train(spec, examples, as_of, progress, external_model(spec))
    lineage = Lineage(
        as_of=as_of.isoformat(),
        training_set_digest=training_set_digest,
        code_commit=code_commit(),
        parameters=lineage_parameters(trained),
        seed=trained.seed,
        library_versions=library_versions(),
    )
    golden = trained.golden if is_releasable else ()
    candidate = store.write(
        trained.model_text,
        trained.deciding,
        golden,
        lineage,
        training_files(trained) | spec_file(spec),
        is_current=is_current,
    )
    return candidate, trained


def external_model(spec: RiskModelSpec) -> ExternalModel | None:
    """The external model that a model's file names, read and checked; ``None`` if its trees are fitted here.

    Raises
    ------
    LifecycleError
        If a file is missing or cannot be used.
    """
    declared = spec.training.estimator.external
    if declared is None:
        return None
    content, model_format = read_external(external_path(spec.name, declared.file), spec.contract_features)
    predictions = None if declared.predictions is None else read_file(external_path(spec.name, declared.predictions))
    return ExternalModel(content, model_format, declared, predictions)


def lineage_parameters(trained: Trained) -> dict[str, Any]:
    """What made the trees: the best trial's parameters and rounds, or an external model's origin."""
    return dict(trained.parameters) | ({"rounds": trained.rounds} if trained.rounds else {})


def input_verdicts(
    warehouse: Warehouse,
    spec: RiskModelSpec,
    start: dt.date,
    as_of: dt.date,
    acknowledged: Collection[dt.date] = (),
) -> list[Verdict]:
    """Verdicts on the input of a training set: fresh, raw rows on every day, and all of them in the mart."""
    volumes = daily_volumes(warehouse, spec, start - dt.timedelta(weeks=REFERENCE_WEEKS), as_of)
    raw_rows = {volume.day: volume.raw_rows for volume in volumes}
    trained = {volume.day: (volume.raw_rows, volume.mart_rows) for volume in volumes if volume.day >= start}
    verdicts = [
        input_gates.freshness(newest_event(warehouse, spec, as_of), as_of, spec.input, acknowledged),
        input_gates.volume(
            raw_rows,
            start,
            as_of,
            spec.input,
            model=spec.name,
            acknowledged=acknowledged,
            cadence=spec.examples.cadence,
        ),
        input_gates.mart_complete(trained, spec.mart),
    ]
    return [input_gates.switched_off(verdict, spec.input) for verdict in verdicts]


def expect_complete_input(verdicts: Sequence[Verdict], as_of: dt.date) -> None:
    """Raise `dagster.Failure` with every failed verdict, so that no training set is frozen from incomplete input."""
    refused = [verdict for verdict in verdicts if not verdict.is_passed]
    if refused:
        raise dg.Failure(
            f"No training set was frozen as of {as_of}: " + "; ".join(verdict.summary for verdict in refused),
            metadata={verdict.gate: f"{verdict.outcome}: {verdict.summary}" for verdict in verdicts},
            allow_retries=False,
        )


def candidate_metadata(spec: RiskModelSpec, candidate: Candidate, trained: Trained) -> dict[str, Any]:
    """Metadata of a candidate in the Dagster UI: digests, metrics with intervals, windows, plots."""
    lineage = candidate.lineage
    return {
        "candidate_digest": candidate.digest,
        "training_set_digest": lineage.training_set_digest,
        "code_commit": lineage.code_commit or "unknown",
        "holdout_metrics": dg.MetadataValue.md(_metrics_table(trained)),
        "windows": dg.MetadataValue.md(_windows_table(trained, spec.label.names)),
        "parameters": dict(lineage.parameters),
        "refit": (
            f"Refitted on all mature days before {trained.trained_until}; the gates judge the procedure on the holdout"
            if trained.is_refitted
            else "Trained elsewhere: the gates judge these very trees"
            if candidate.is_external
            else "Not refitted: the gates judge the candidate itself"
        ),
        "trials": len(trained.trials),
        **_search_metadata(trained),
        **{name: interval.value for name, interval in trained.evaluation.metrics.items()},
        **shown(model_plots(trained.curves, trained.importance, spec.label.names)),
        "folder": dg.MetadataValue.path(str(candidate.folder)),
    }


def _search_metadata(trained: Trained) -> dict[str, Any]:
    """What its best trial brought over the first, the default parameters, on the validation folds; and the choice."""
    gains = search_gain(trained.trials)
    if not gains:
        return {}
    folds = ", ".join(f"{gain:+.4f}" for gain in gains)
    found: dict[str, Any] = {"search_gain": sum(gains) / len(gains), "search_gain_by_fold": folds}
    if trained.choice is not None:
        found["search_choice"] = trained.choice.text
        found["search_stopped_early"] = trained.choice.is_stopped_early
    return found


def _metrics_table(trained: Trained) -> str:
    lines = [
        "| metric | model | interval | logistic | difference | interval of the difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, model in trained.evaluation.metrics.items():
        baseline, gap = trained.baseline_evaluation.metrics[name], trained.baseline_difference[name]
        lines.append(
            f"| {name} | {model.value:.3f} | {model.low:.3f}–{model.high:.3f} | {baseline.value:.3f} "
            f"| {gap.value:+.3f} | {gap.low:+.3f}…{gap.high:+.3f} |"
        )
    return "\n".join(lines)


def _windows_table(trained: Trained, names: LabelNames) -> str:
    lines = [
        f"| window | from | until (exclusive) | labels as of | rows | {names.positive} | not known |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {window.name} | {window.start} | {window.end} | {window.known_at} | {window.rows} | {window.positives} "
        f"| {window.unknown} |"
        for window in trained.windows
    ]
    return "\n".join(lines)


class _LoggedProgress:
    """Logs the progress of a training: the end of each stage, and every tenth of a search."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context

    def __call__(self, stage: str, done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            self._context.log.info(f"{stage}: {done} of {total}")
