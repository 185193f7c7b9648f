"""From the mart to a candidate: what was known as of a date, frozen, and the model fitted on it."""

import datetime as dt
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import dagster as dg
import msgspec

from lifecycle.artefacts.candidates import EVALUATION_FILE, JUDGED_MODEL_FILE, REFERENCE_FILE, Candidate
from lifecycle.artefacts.lineage import code_commit, library_versions
from lifecycle.artefacts.training_sets import Selection
from lifecycle.assets.keys import WAREHOUSE_POOL, Materialized, ModelKeys
from lifecycle.assets.partitions import as_of_dates, date_of, training_days
from lifecycle.assets.plots import model_plots
from lifecycle.assets.resources import Stores
from lifecycle.gates import input_gates
from lifecycle.modelling.splits import training_window
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.examples import MARTS, daily_volumes, newest_event, training_batches
from serving.contract.documents import Lineage, Verdict


def training_set_asset(spec: RiskModelSpec) -> dg.AssetsDefinition:
    """The asset that freezes a training set."""
    keys = ModelKeys(spec.name)

    @dg.asset(
        key=keys.training_set,
        deps=[dg.AssetDep(dg.AssetKey([MARTS, spec.mart]), partition_mapping=training_days(spec))],
        partitions_def=as_of_dates(spec),
        group_name=spec.name,
        kinds={"parquet"},
        pool=WAREHOUSE_POOL,
        description="Mature examples with what was known of them as of the partition's date; named by its digest.",
    )
    def training_set(context: dg.AssetExecutionContext, stores: Stores) -> Materialized:
        as_of = date_of(context.partition_key)
        start, end = training_window(as_of, spec.training, spec.label.maturity_days)
        # Whoever extracts need not see raw rows; that they are all there is for the reading role to say.
        expect_complete_input(input_verdicts(stores.warehouse(context), spec, start, as_of), as_of)
        store = stores.training_sets(spec.name)
        warehouse = stores.warehouse(context, "train")
        with closing(training_batches(warehouse, spec, start, end, as_of)) as batches:
            frozen = store.write(batches, spec, Selection(as_of, start, end))
        description = frozen.description
        return dg.MaterializeResult(
            metadata={
                "training_set_digest": description.digest,
                "dagster/row_count": description.rows,
                "reported_frauds": description.reported,
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
        kinds={"lightgbm"},
        description=(
            "Model fitted on the training set of the partition's date; registers and promotes nothing. The metrics "
            "are of the holdout: where the model is refitted afterwards, they judge the procedure, not these trees."
        ),
    )
    def candidate(context: dg.AssetExecutionContext, stores: Stores) -> Materialized:
        as_of = context.partition_key
        snapshots = stores.training_sets(spec.name)
        examples = examples_from_table(snapshots.read(as_of), spec)
        told = _LoggedProgress(context)
        trained = train(spec, examples, date_of(as_of), told)
        lineage = Lineage(
            as_of=as_of,
            training_set_digest=snapshots.describe(as_of).digest,
            code_commit=code_commit(),
            parameters=dict(trained.parameters) | {"rounds": trained.rounds},
            seed=trained.seed,
            library_versions=library_versions(),
        )
        written = stores.candidates(spec.name).write(
            trained.model_text, trained.deciding, trained.golden, lineage, candidate_files(trained)
        )
        return dg.MaterializeResult(metadata=candidate_metadata(written, trained))

    return candidate


def input_verdicts(warehouse: Warehouse, spec: RiskModelSpec, start: dt.date, as_of: dt.date) -> list[Verdict]:
    """Whether the input of a training set is fresh and whole: raw rows of every day, and all of them in the mart."""
    volumes = daily_volumes(warehouse, spec, start, as_of)
    return [
        input_gates.freshness(newest_event(warehouse, as_of), as_of, spec.input),
        input_gates.volume({volume.day: volume.raw_rows for volume in volumes}, start, as_of, spec.input),
        mart_verdict({volume.day.isoformat(): (volume.raw_rows, volume.mart_rows) for volume in volumes}, spec.mart),
    ]


def mart_verdict(rows: dict[str, tuple[int, int]], mart: str) -> Verdict:
    """Whether the mart holds as many rows of every day as came in; `rows` holds raw and mart rows by day."""
    behind = {day: counts for day, counts in rows.items() if counts[0] != counts[1]}
    first, last = (min(behind), max(behind)) if behind else ("", "")
    return Verdict(
        gate="mart_complete",
        is_passed=not behind,
        summary=(
            f"{len(behind)} of {len(rows)} days of {mart} do not hold the rows that came in, from {first} to {last}; "
            "materialise the features of these days"
            if behind
            else f"All {len(rows)} days of {mart} hold the rows that came in"
        ),
        observed={"days_behind": len(behind)},
        required={"days_behind": 0},
    )


def expect_complete_input(verdicts: Sequence[Verdict], as_of: dt.date) -> None:
    """Stop before anything is frozen if the input is stale or not whole.

    Raises
    ------
    dagster.Failure
        With every verdict that did not pass.
    """
    refused = [verdict for verdict in verdicts if not verdict.is_passed]
    if refused:
        raise dg.Failure(
            f"No training set is frozen as of {as_of}: " + "; ".join(verdict.summary for verdict in refused),
            metadata={verdict.gate: verdict.summary for verdict in verdicts},
            allow_retries=False,
        )


def candidate_files(trained: Trained) -> dict[str, bytes]:
    """What is kept beside what decides: the model that was judged, its evaluation, the drift reference."""
    evaluation = {
        "holdout": trained.evaluation,
        "baseline": trained.baseline_evaluation,
        "baseline_difference": trained.baseline_difference,
        "judged_calibration": trained.judged_calibration,
        "windows": trained.windows,
        "trials": trained.trials,
        "importance": trained.importance,
        "curves": trained.curves,
        "is_refitted": trained.is_refitted,
        "trained_until": trained.trained_until,
    }
    return {
        EVALUATION_FILE: msgspec.json.format(msgspec.json.encode(evaluation), indent=2),
        REFERENCE_FILE: msgspec.json.encode(trained.reference),
        JUDGED_MODEL_FILE: trained.judged_model_text,
    }


def candidate_metadata(written: Candidate, trained: Trained) -> dict[str, Any]:
    """What the Dagster UI shows of a candidate: digests, metrics with intervals, windows, plots."""
    lineage = written.lineage
    plain = msgspec.to_builtins(trained.curves)
    metrics = trained.evaluation.metrics
    return {
        "candidate_digest": written.digest,
        "training_set_digest": lineage.training_set_digest,
        "code_commit": lineage.code_commit or "not known",
        "holdout_metrics": dg.MetadataValue.md(_metrics_table(trained)),
        "windows": dg.MetadataValue.md(_windows_table(trained)),
        "parameters": dict(lineage.parameters),
        "refit": (
            f"Refitted on everything mature up to {trained.trained_until}; the gates judge the procedure on the holdout"
            if trained.is_refitted
            else "Not refitted: the judged model is the candidate"
        ),
        "trials": len(trained.trials),
        **{name: interval.value for name, interval in metrics.items()},
        **model_plots(plain, trained.importance),
        "folder": dg.MetadataValue.path(str(written.folder)),
    }


def _metrics_table(trained: Trained) -> str:
    lines = ["| metric | model | interval | logistic | difference | its interval |", "|---|---|---|---|---|---|"]
    for name, ours in trained.evaluation.metrics.items():
        theirs, gap = trained.baseline_evaluation.metrics[name], trained.baseline_difference[name]
        lines.append(
            f"| {name} | {ours.value:.3f} | {ours.low:.3f}–{ours.high:.3f} | {theirs.value:.3f} "
            f"| {gap.value:+.3f} | {gap.low:+.3f}…{gap.high:+.3f} |"
        )
    return "\n".join(lines)


def _windows_table(trained: Trained) -> str:
    lines = ["| window | from | until | labels known at | rows | frauds |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {window.name} | {window.start} | {window.end} | {window.known_at} | {window.rows} | {window.frauds} |"
        for window in trained.windows
    ]
    return "\n".join(lines)


class _LoggedProgress:
    """Progress of a training in the run's log: each stage's start and end, a search every tenth of it."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context

    def __call__(self, stage: str, done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            self._context.log.info(f"{stage}: {done} of {total}")
