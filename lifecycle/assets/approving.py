"""The job that approves a candidate, and the sensor that promotes it once people have said enough."""

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.asked_runs import launched_by
from lifecycle.assets.consent_pages import show_consents_in_dagster, show_consents_in_mlflow
from lifecycle.assets.expired_waivers import tell_expired_waivers
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.mirror import attempt
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.approval_policy import person_key
from lifecycle.releases.consents import Person
from lifecycle.releases.lookup import candidate_by_prefix
from lifecycle.releases.permission import approve
from lifecycle.settings.child_environment import user_name
from lifecycle.spec.risk_model import RiskModelSpec

if TYPE_CHECKING:
    # Dagster has no public name for this type.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

POLL_SECONDS = 30


class ApproveConfig(dg.Config):
    """What a person approves; without `name` it is the identity that launched the run."""

    digest: str
    reason: str
    name: str = ""


def approve_job(spec: RiskModelSpec) -> dg.JobDefinition:
    """The job that approves a candidate, as `lifecycle approve` does."""
    keys = ModelKeys(spec.name)

    @dg.op(name=f"{keys.approve_job}_candidate", out=dg.Out(dg.Nothing))
    def approve_candidate(context: dg.OpExecutionContext, config: ApproveConfig, stores: Stores) -> None:
        digest = candidate_by_prefix(spec.name, config.digest, stores.candidates(spec.name).dates())
        person = person_of(context.run, config.name)
        now = dt.datetime.now(dt.UTC)
        given = approve(stores.releases(), spec.name, spec.promotion, digest, person, reason=config.reason, now=now)
        context.log.info(f"{given.name} approved candidate {digest} until {given.expires_at}")
        steps: dict[str, Callable[[], None]] = {
            "MLflow": lambda: show_consents_in_mlflow(spec, stores, digest),
            "Dagster": lambda: show_consents_in_dagster(spec, stores, digest, context.instance),
        }
        for place, action in steps.items():
            step = f"Showing the approval in {place}"
            attempt(stores, spec.name, None, context.run_id, step, action, candidate=digest)

    @dg.job(
        name=keys.approve_job,
        description=f"Approves a candidate of {spec.name} by its digest, with a reason, as `lifecycle approve` does.",
    )
    def job() -> None:
        approve_candidate()

    return job


def person_of(run: dg.DagsterRun, name: str) -> Person:
    """Who approves by a run: the identity of the single sign-on, else the claimed name with the user of this process.

    Raises
    ------
    LifecycleError
        If another name is claimed than that of the single sign-on.
    """
    identity = launched_by(run)
    if identity is None:
        return Person(name.strip() or user_name(), user_name())
    if name.strip() and person_key(name) != person_key(identity):
        raise LifecycleError(
            f"Expected the name of the single sign-on, {identity}, or none - at `name` of the run's config"
        )
    return Person(identity, identity, "single_sign_on")


def release_job(spec: RiskModelSpec) -> "UnresolvedAssetJobDefinition":
    """The job that registers and releases the candidate of a date without judging it again."""
    keys = ModelKeys(spec.name)
    return dg.define_asset_job(
        keys.release_job,
        selection=dg.AssetSelection.assets(keys.model_version, keys.release).without_checks(),
        description=f"Registers and releases a candidate of {spec.name} by the verdicts, waivers and approvals it has.",
    )


def approval_sensor(spec: RiskModelSpec, job: "UnresolvedAssetJobDefinition | dg.JobDefinition") -> dg.SensorDefinition:
    """The sensor that starts a release once nothing is open after a new act; its cursor counts the acts.

    Each time it also alerts waivers that have expired since.
    """
    keys = ModelKeys(spec.name)

    @dg.sensor(
        name=f"{keys.release_job}_sensor",
        job=job,
        minimum_interval_seconds=POLL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers and releases a candidate once people have approved it and waived what did not pass.",
    )
    def sensor(context: dg.SensorEvaluationContext, stores: Stores) -> dg.SensorResult | dg.SkipReason:
        acts = stores.releases().consents.of(spec.name)
        tell_expired_waivers(spec.name, stores, acts, context.instance, dt.datetime.now(dt.UTC))
        seen = int(context.cursor or 0)
        if len(acts) <= seen:
            return dg.SkipReason("There is no new approval or waiver")
        requests = []
        for digest in dict.fromkeys(act.candidate_digest for act in acts[seen:]):
            candidate = released_if_permitted(spec, stores, digest)
            if candidate is not None:
                as_of = candidate.lineage.as_of
                requests.append(dg.RunRequest(run_key=f"{spec.name}:act {len(acts)}:{digest}", partition_key=as_of))
        return dg.SensorResult(run_requests=requests, cursor=str(len(acts)))

    return sensor


def released_if_permitted(spec: RiskModelSpec, stores: Stores, digest: str) -> Candidate | None:
    """The candidate, if it is the current one of its date and nothing is open; ``None`` also before its gates ran."""
    store = stores.candidates(spec.name)
    as_of = store.dates().get(digest)
    if as_of is None or not store.has(as_of) or store.current(as_of).digest != digest:
        return None
    try:
        verdicts = stores.evidence(spec.name).gates(digest).verdicts
    except LifecycleError:
        return None
    permission = stores.permissions(spec).of(digest, verdicts)
    is_open = permission.waivers.refusal is not None or permission.approvals.refusal is not None
    return None if is_open else store.current(as_of)
