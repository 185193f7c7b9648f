"""Commands for approvals of candidates and waivers of their gates."""

import datetime as dt
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.mirror import mirror_after_consent
from lifecycle.cli.options import AsJson, Model
from lifecycle.errors import LifecycleError
from lifecycle.settings.child_environment import user_name

if TYPE_CHECKING:
    from lifecycle.releases.consents import Person
    from lifecycle.releases.store import ReleaseStore
    from lifecycle.settings.platform import Settings
    from lifecycle.spec.risk_model import RiskModelSpec
    from serving.contract.documents import Consent

Digest = Annotated[
    str,
    typer.Argument(
        help="Digest of the candidate or of its bundle, or the unique beginning, as `lifecycle approvals` prints it."
    ),
]
As = Annotated[
    str | None, typer.Option("--as", help="Name of the person. Default: the user of the operating system, also kept.")
]
Reason = Annotated[str, typer.Option(help="Reason, kept in the signed document and shown on the model card.")]
Withdraw = Annotated[bool, typer.Option("--withdraw", help="Withdraw what was given; it stays in the record.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the root command."""
    for command in (approve, waive, approvals):
        app.command()(command)


def approve(
    model: Model,
    digest: Digest,
    reason: Reason,
    name: As = None,
    *,
    withdraw: Withdraw = False,
    as_json: AsJson = False,
) -> None:
    """Approve a candidate, so that it may be promoted. Signed, recorded in the ledger, and valid for a limited time.

    A model's file says how many people must approve: `promotion: {approvals: one}` or `two`. The person who trained the
    candidate cannot. An approval is for this candidate only; after `promotion.approval_days` it expires.
    """
    from lifecycle.releases import permission

    settings, store, spec = _opened(model)
    candidate, person, now = _candidate(settings, store, model, digest), _person(name), dt.datetime.now(dt.UTC)
    if withdraw:
        act = store.consents.withdraw(model, candidate, None, person, reason=reason, now=now)
    else:
        act = permission.approve(store, model, spec.promotion, candidate, person, reason=reason, now=now)
    _tell(act, as_json)
    mirror_after_consent(model, candidate)


def waive(
    model: Model,
    digest: Digest,
    gate: Annotated[str, typer.Argument(help="Name of the gate that did not pass, as the verdicts name it.")],
    reason: Reason,
    name: As = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day on which the waiver ends, at 00:00 UTC.")
    ] = None,
    *,
    withdraw: Withdraw = False,
    as_json: AsJson = False,
) -> None:
    """Waive one gate that failed or was inconclusive for one candidate, until a day.

    The verdict stays as it was judged. While the waiver is in force the candidate may be registered and promoted as if
    the gate had passed; afterwards both are refused again. Manifest and model card name the waiver.
    """
    settings, store, _ = _opened(model)
    candidate, person, now = _candidate(settings, store, model, digest), _person(name), dt.datetime.now(dt.UTC)
    _expect_waivable(gate)
    if withdraw:
        act = store.consents.withdraw(model, candidate, gate, person, reason=reason, now=now)
    elif until is None:
        raise LifecycleError("Expected the day on which the waiver ends, got none - at `--until`")
    else:
        end = until.replace(tzinfo=dt.UTC)
        act = store.consents.waive(model, candidate, gate, person, reason=reason, until=end, now=now)
    _tell(act, as_json)
    mirror_after_consent(model, candidate)


def approvals(model: Model, *, as_json: AsJson = False) -> None:
    """Show the candidates that wait for approval, and every approval and waiver: in force, expired or withdrawn."""
    from lifecycle.cli.approval_tables import document, print_approvals, standings

    settings, store, spec = _opened(model)
    shown = standings(settings, store, spec, dt.datetime.now(dt.UTC))
    if as_json:
        typer.echo(json.dumps(document(spec, shown)))
    else:
        print_approvals(spec, shown)


def _opened(model: str) -> "tuple[Settings, ReleaseStore, RiskModelSpec]":
    from lifecycle.releases.store import ReleaseStore
    from lifecycle.settings.platform import Settings
    from lifecycle.signing.keys import ensure_keys
    from lifecycle.spec.model_files import read_model

    settings = Settings()
    spec = read_model(model, settings.profile)
    return settings, ReleaseStore(settings.release_store, ensure_keys(settings)), spec


def _candidate(settings: "Settings", store: "ReleaseStore", model: str, prefix: str) -> str:
    """Digest of the candidate that a person names, by its own digest or by that of a bundle sealed from it."""
    from lifecycle.artefacts.bundles import bundle_manifest
    from lifecycle.artefacts.candidates import CandidateStore
    from lifecycle.releases.lookup import bundle_by_prefix, candidate_by_prefix
    from lifecycle.signing.keys import ensure_keys

    try:
        return candidate_by_prefix(model, prefix, CandidateStore(settings.candidates_dir, model).dates())
    except LifecycleError as error:
        try:
            manifest = bundle_manifest(
                store.root, bundle_by_prefix(store.root, prefix), ensure_keys(settings).public_keys
            )
        except LifecycleError:
            raise error from None
        if manifest.model != model:
            raise error from None
        return manifest.candidate_digest


def _person(name: str | None) -> "Person":
    from lifecycle.releases.consents import Person

    return Person(user_name() if name is None else name.strip(), user_name())


def _expect_waivable(gate: str) -> None:
    from lifecycle.gates.candidate_gates import GATES
    from lifecycle.gates.waiver_policy import NOT_WAIVABLE
    from lifecycle.spec.suggestions import suggestion

    if gate not in GATES:
        raise LifecycleError(f"Expected the name of a gate, got {gate!r}{suggestion(gate, GATES)}")
    if gate in NOT_WAIVABLE:
        raise LifecycleError(f"Expected a gate that can be waived, got {gate}: {NOT_WAIVABLE[gate]}")


def _tell(act: "Consent", as_json: bool) -> None:
    import msgspec

    from lifecycle.cli.approval_tables import act_text

    typer.echo(msgspec.json.encode(act) if as_json else act_text(act))
