"""Mirrors the release in force in MLflow and in Dagster, for people; nothing that decides reads a mirror.

A mirror that fails never holds up a release or a rollback: every call has a time limit, and a failure is an alert.
"""

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import dagster as dg

from lifecycle.artefacts.bundles import bundle_manifest
from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.outcomes import WORDS, unwaived
from lifecycle.monitoring.champions import registry_alert
from lifecycle.releases.alert_log import raise_alert
from lifecycle.releases.mlflow_registry import MirroredSlot, RegisteredVersion
from lifecycle.releases.mlflow_runs import RunOutcome, RunPages
from lifecycle.releases.permission import Permission
from lifecycle.reports.model_card import model_card
from lifecycle.reports.plots import model_plots
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Release, SlotRelease
from serving.storage.locks import lock_file

MLFLOW_TIMEOUT_SECONDS = 120.0
"""Time limit of one step on MLflow, whose import and first migration take seconds on a busy machine."""

_Result = TypeVar("_Result")
Log = Callable[[str], None]


def attempt(
    stores: Stores,
    model: str,
    as_of: str | None,
    run_id: str | None,
    step: str,
    action: Callable[[], _Result],
    timeout_seconds: float = MLFLOW_TIMEOUT_SECONDS,
    candidate: str | None = None,
) -> _Result | None:
    """Result of a step that must not hold up its caller; ``None`` and an alert if it fails or takes too long."""
    try:
        return in_time(action, timeout_seconds)
    except Exception as error:
        fault = first_line(error)
        now = dt.datetime.now(dt.UTC)
        raise_alert(stores.settings, registry_alert(model, as_of, run_id, step, fault, now, candidate))
        return None


def in_time(action: Callable[[], _Result], timeout_seconds: float = MLFLOW_TIMEOUT_SECONDS) -> _Result:
    """Result of an action in a thread of its own, which a time-out leaves behind; raises `TimeoutError`."""
    outcome: Future[_Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="mirror", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {timeout_seconds:g} s")
    return outcome.result()


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def pages(
    spec: RiskModelSpec,
    stores: Stores,
    candidate: Candidate,
    evidence: GateEvidence,
    run_id: str | None,
    permission: Permission | None = None,
) -> RunPages:
    """What MLflow's run of a candidate shows; without `run_id` the link leads to the asset."""
    permission = permission or stores.permissions(spec).of(candidate.digest, evidence.verdicts)
    evaluation = candidate.evaluation
    settings = stores.settings
    asset_url = f"{settings.dagster_url}/assets/{spec.name}/candidate"
    return RunPages(
        card=model_card(spec, candidate, evidence, permission.approvals.counted, permission.waivers.used).encode(),
        plots=partial(model_plots, evaluation.curves, evaluation.importance, spec.label.names),
        dagster_url=settings.run_url(run_id) if run_id else asset_url,
        waived=tuple(sorted(permission.waivers.gates)),
        approved_by=tuple(consent.name for consent in permission.approvals.counted),
    )


def register(
    spec: RiskModelSpec,
    stores: Stores,
    candidate: Candidate,
    evidence: GateEvidence,
    run_id: str | None,
    permission: Permission | None = None,
) -> RegisteredVersion:
    """The candidate's version in MLflow; raises what MLflow raises."""
    shown = pages(spec, stores, candidate, evidence, run_id, permission)
    return stores.registry().register(spec, candidate, evidence, shown)


def record(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, evidence: GateEvidence, outcome: RunOutcome, run_id: str
) -> None:
    """Show a candidate that a gate blocks, which is not registered, in MLflow's experiment, marked with its outcome."""

    def action() -> str:
        shown = pages(spec, stores, candidate, evidence, run_id)
        return stores.registry().record(spec, candidate, evidence, outcome, shown)

    as_of = candidate.lineage.as_of
    attempt(stores, spec.name, as_of, run_id, "Recording the candidate in MLflow", action)


def record_backtest(
    spec: RiskModelSpec, stores: Stores, candidate: Candidate, evidence: GateEvidence, run: dg.DagsterRun, log: Log
) -> None:
    """Show a backtest in MLflow's experiment; a fault of MLflow goes to the run's log: a backtest never alerts."""
    outcome: RunOutcome = "backtest" if evidence.is_passed else WORDS[evidence.outcome]
    shown = pages(spec, stores, candidate, evidence, run.run_id)
    try:
        in_time(lambda: stores.registry().record(spec, candidate, evidence, outcome, shown))
    except Exception as error:
        log(f"MLflow does not show this backtest: {first_line(error)}")


def mirror_in_mlflow(spec: RiskModelSpec, stores: Stores) -> None:
    """Point MLflow's aliases at the versions of the release in force; a missing version is registered again.

    One process at a time does this, and reads the release only then: a late one cannot bring back an older champion.

    Raises
    ------
    LifecycleError
        If a slot's candidate is gone; its alias is removed, because it would name another model.
    """
    folder = stores.settings.mlflow_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock_file(folder / "mirror.lock"):
        release = stores.releases().latest(spec.name)
        slots, faults = {}, []
        for name, slot in _filled_slots(release).items():
            try:
                slots[name] = MirroredSlot(_version(spec, stores, slot).version, slot.bundle_digest)
            except LifecycleError as error:
                faults.append(f"{name}: {error}")
        stores.registry().mirror(spec.name, slots)
    if faults:
        raise LifecycleError("; ".join(faults))


def mirror_in_dagster(model: str, release: Release, instance: dg.DagsterInstance) -> None:
    """Show the release in force as the newest materialization of the asset `release`; idempotent."""
    key = ModelKeys(model).release
    shown = newest_metadata(instance, key)
    if shown.get("release_number") == release.number and shown.get("bundle_digest") == release.champion.bundle_digest:
        return
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=key, partition=release.champion.as_of, metadata=release_metadata(release), description="Mirrored"
        )
    )


def newest_metadata(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Any]:
    """Plain metadata of an asset's newest materialization; empty before the first."""
    event = instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    return {name: entry.value for name, entry in materialization.metadata.items()} if materialization else {}


def release_metadata(release: Release) -> dict[str, str | int]:
    """Metadata of a release in the Dagster UI."""
    metadata: dict[str, str | int] = {
        "release_number": release.number,
        "bundle_digest": release.champion.bundle_digest,
        "as_of": release.champion.as_of,
        "released_by": release.released_by,
        "reason": release.reason,
    }
    if release.restores is not None:
        metadata["restores"] = release.restores
    for name, slot in (("canary", release.canary), ("shadow", release.shadow)):
        if slot is not None:
            metadata[name] = slot.bundle_digest
    return metadata


def _filled_slots(release: Release | None) -> dict[str, SlotRelease]:
    if release is None:
        return {}
    slots = {"champion": release.champion, "canary": release.canary, "shadow": release.shadow}
    return {name: slot for name, slot in slots.items() if slot is not None}


def _version(spec: RiskModelSpec, stores: Stores, slot: SlotRelease) -> RegisteredVersion:
    keys = stores.key_ring().public_keys
    manifest = bundle_manifest(stores.settings.release_store, slot.bundle_digest, keys)
    digest = manifest.candidate_digest
    existing = stores.registry().find(spec.name, digest)
    if existing is not None:
        return existing
    candidate = stores.candidates(spec.name).by_digest(digest)
    evidence = stores.evidence(spec.name).gates(digest)
    shown = pages(spec, stores, candidate, evidence, None)
    # It is released: a waiver that has expired since does not keep it out of MLflow.
    waived = tuple(waiver.gate for waiver in manifest.waivers)
    shown = replace(shown, waived=waived, is_for_shadow=bool(unwaived(manifest.verdicts, waived)))
    return stores.registry().register(spec, candidate, evidence, shown)
