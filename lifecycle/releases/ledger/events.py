"""The events of the platform, each built in one place from the documents that it is about."""

from collections.abc import Sequence

import msgspec

from lifecycle.artefacts.evidence import GateEvidence, evidence_content
from lifecycle.monitoring.alerts import Alert
from lifecycle.releases.ledger.records import Actor, Event, Record
from serving.artefacts.release_rules import slots_of
from serving.contract.documents import Consent, Lineage, Release, Verdict, digest

POLICY_NAME = "promotion policy"
"""Name under which the promotion policy releases."""
_NO_FACTS_OF_VERDICTS = ("summary",)
"""Texts for people; the evidence that the record names holds them."""


def person(name: str) -> Actor:
    """A person, by the user's name; or the promotion policy, which signs releases with its own."""
    return Actor(kind="policy" if name == POLICY_NAME else "person", name=name)


def run_actor(run_id: str) -> Actor:
    """A Dagster run."""
    return Actor(kind="run", name=run_id)


def release_announced(release: Release) -> Event:
    """A release that is about to be written; the numbers and bundles are the release's own."""
    return Event(
        kind="release" if release.restores is None else "rollback",
        model=release.model,
        actor=person(release.released_by),
        subjects=release_subjects(release),
        facts=release_facts(release),
        occasion=f"{release.number} {release.released_by} {release_facts(release)}",
    )


def release_written(model: str, number: int, file_digest: str) -> Event:
    """The file of a release is in the store."""
    return Event(
        kind="released",
        model=model,
        actor=Actor(kind="platform", name="release store"),
        subjects={"release": file_digest},
        facts={"number": number},
        occasion=str(number),
    )


def release_facts(release: Release) -> dict[str, object]:
    """What a record says of a release, next to its digests."""
    facts: dict[str, object] = {"number": release.number, "champion_as_of": release.champion.as_of}
    if release.restores is not None:
        facts["restores"] = release.restores
    if release.canary is not None:
        # Not the salt, which is drawn again when a killed command is repeated; the release's file has it.
        facts["canary_percent"] = release.canary.percent
    return facts


def release_subjects(release: Release) -> dict[str, str]:
    """Digests of the bundles in a release's slots, and of the file of the release before it."""
    subjects: dict[str, str] = {slot: filled.bundle_digest for slot, filled in slots_of(release)}
    return subjects if release.predecessor is None else subjects | {"predecessor": release.predecessor}


def freeze_turned(number: int, by: str, *, is_frozen: bool) -> Event:
    """A turn of the freeze switch that is about to be written."""
    return Event(
        kind="freeze" if is_frozen else "unfreeze",
        model=None,
        actor=person(by),
        facts={"number": number},
        occasion=f"{number} {by}",
    )


def promotion_resumed(model: str, release_number: int, by: str) -> Event:
    """A person's order to promote automatically again, which is about to be written."""
    return Event(
        kind="resume",
        model=model,
        actor=person(by),
        facts={"release_number": release_number},
        occasion=f"{release_number} {by}",
    )


def order_written(announcement: Event, file_digest: str) -> Event:
    """The file of a freeze, its end or a resume is in the store; `announcement` is the record of before."""
    return msgspec.structs.replace(
        announcement,
        subjects={"document": file_digest},
        facts=announcement.facts | {"is_written": True},
        occasion=f"{announcement.occasion} written",
    )


def consent_event(consent: Consent, file_digest: str, *, is_written: bool) -> Event:
    """A person's act on a candidate: announced before its file is written, and recorded again once it is there."""
    facts: dict[str, object] = {"number": consent.number, "is_written": is_written}
    if consent.gate is not None:
        facts["gate"] = consent.gate
    return Event(
        kind="approval" if consent.gate is None else "waiver",
        model=consent.model,
        # Not `person`, which would take a claimed name for that of the policy.
        actor=Actor(kind="person", name=consent.name),
        subjects={"candidate": consent.candidate_digest, "document": file_digest},
        facts=facts
        | {
            "account": consent.account,
            "is_withdrawal": consent.is_withdrawal,
            "expires_at": consent.expires_at.isoformat() if consent.expires_at else None,
        },
        occasion=f"{consent.number} {'written' if is_written else 'announced'}",
    )


def candidate_trained(
    model: str, candidate_digest: str, lineage: Lineage, actor: Actor, launched_by: str | None = None
) -> Event:
    """A candidate was made from a training set; `launched_by` is the person that launched the run, if it says so."""
    return Event(
        kind="training",
        model=model,
        actor=actor,
        subjects={"candidate": candidate_digest, "training_set": lineage.training_set_digest},
        facts={"as_of": lineage.as_of, "code_commit": lineage.code_commit, "seed": lineage.seed}
        | ({} if launched_by is None else {"launched_by": launched_by}),
        occasion=actor.name,
    )


def gates_judged(evidence: GateEvidence, actor: Actor, *, is_backtest: bool) -> Event:
    """Every gate's verdict on a candidate, with the digest of the evidence that is about to be written."""
    verdicts = [verdict_facts(verdict) for verdict in evidence.verdicts]
    return Event(
        kind="gates",
        model=evidence.model,
        actor=actor,
        subjects={
            "candidate": evidence.candidate_digest,
            "training_set": evidence.training_set_digest,
            "evidence": digest(evidence_content(evidence)),
        },
        facts={"as_of": evidence.as_of, "is_backtest": is_backtest, "verdicts": verdicts},
        occasion=f"{actor.name} {is_backtest}",
    )


def verdict_facts(verdict: Verdict) -> dict[str, object]:
    """What a record says of a verdict."""
    document: dict[str, object] = msgspec.to_builtins(verdict)
    return {name: value for name, value in document.items() if name not in _NO_FACTS_OF_VERDICTS}


def recorded_verdicts(record: Record) -> tuple[Verdict, ...]:
    """The verdicts that a record of kind ``gates`` holds; their summaries are empty."""
    return tuple(msgspec.convert({"summary": "", **facts}, Verdict) for facts in record.facts["verdicts"])


def is_record_of(record: Record, verdicts: Sequence[Verdict]) -> bool:
    """Whether a record of kind ``gates`` holds these very verdicts, number for number."""
    facts = [verdict_facts(verdict) for verdict in verdicts]
    return msgspec.json.encode(facts, order="sorted") == msgspec.json.encode(record.facts["verdicts"], order="sorted")


def version_registered(
    model: str, bundle_digest: str, candidate_digest: str, version: str | None, actor: Actor
) -> Event:
    """A bundle was sealed for a candidate, and its version registered in MLflow; ``None`` if MLflow failed."""
    return Event(
        kind="registration",
        model=model,
        actor=actor,
        subjects={"bundle": bundle_digest, "candidate": candidate_digest},
        facts={"mlflow_version": version},
        occasion=f"{actor.name} {version}",
    )


def configuration_changed(model: str, subjects: dict[str, str], after: int, actor: Actor) -> Event:
    """A model's specification differs from that of record `after`, or is the first one (0)."""
    return Event(kind="configuration", model=model, actor=actor, subjects=subjects, occasion=f"after {after}")


def alert_raised(alert: Alert, line: bytes) -> Event:
    """An alert was written; `line` is its line in the file of alerts, which has the text."""
    return Event(
        kind="alarm",
        model=alert.model,
        actor=Actor(kind="platform", name="monitoring") if alert.run_id is None else run_actor(alert.run_id),
        subjects={"alert": digest(line)},
        facts={"alert": alert.kind, "as_of": alert.as_of},
        occasion=alert.raised_at.isoformat(),
    )
