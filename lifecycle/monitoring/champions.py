"""Compares the champion of the release store with those that its mirrors and the server name."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.monitoring.alerts import Alert
from serving.contract.documents import Release


@dataclass(frozen=True)
class NamedChampion:
    """The bundle that a place names as champion; `fault` says why it could not be asked."""

    place: str
    bundle_digest: str | None
    fault: str | None = None


def differences(release: Release, named: Sequence[NamedChampion]) -> list[str]:
    """What each place that disagrees with the release in force says, in a sentence.

    Examples
    --------
    >>> from serving.contract.documents import SlotRelease
    >>> champion = SlotRelease(bundle_digest="a" * 64, as_of="2018-08-29")
    >>> released_at = dt.datetime(2018, 8, 29, tzinfo=dt.UTC)
    >>> release = Release(schema_version=1, model="toy", number=3, predecessor=None, champion=champion,
    ...                   released_at=released_at, released_by="me", reason="better")
    >>> differences(release, [NamedChampion("MLflow", "a" * 64), NamedChampion("Dagster", "b" * 64)])
    ['Dagster names bundle bbbbbbbbbbbb, release 3 has aaaaaaaaaaaa']
    >>> differences(release, [NamedChampion("MLflow", None), NamedChampion("the server", None, "timed out")])
    ['MLflow names no champion, release 3 has aaaaaaaaaaaa', 'the server gave no answer: timed out']
    """
    expected = release.champion.bundle_digest
    return [_difference(champion, release) for champion in named if champion.bundle_digest != expected]


def champion_alert(release: Release, found: Sequence[str], run_id: str, raised_at: dt.datetime) -> Alert:
    """The alert about places that disagree with the release in force."""
    return Alert(
        kind="champion_differs",
        model=release.model,
        as_of=release.champion.as_of,
        run_id=run_id,
        message=f"{'; '.join(found)}.",
        remedy=f"`lifecycle mirror {release.model}` repairs MLflow and Dagster; see /readyz for the server.",
        raised_at=raised_at,
    )


def registry_alert(
    model: str,
    as_of: str | None,
    run_id: str | None,
    step: str,
    fault: str,
    raised_at: dt.datetime,
    candidate: str | None = None,
) -> Alert:
    """The alert about a step that MLflow or Dagster's storage did not take; the release went on without it.

    `candidate` is the digest of the candidate whose page the step is about.
    """
    of_candidate = f" --candidate {candidate[:12]}" if candidate else ""
    return Alert(
        kind="registry_failed",
        model=model,
        as_of=as_of,
        run_id=run_id,
        message=f"{step} failed: {fault}. Releases do not depend on it.",
        remedy=f"Repair MLflow's storage, then run `lifecycle mirror {model}{of_candidate}`.",
        raised_at=raised_at,
    )


def _difference(champion: NamedChampion, release: Release) -> str:
    if champion.fault is not None:
        return f"{champion.place} gave no answer: {champion.fault}"
    expected = f"release {release.number} has {release.champion.bundle_digest[:12]}"
    if champion.bundle_digest is None:
        return f"{champion.place} names no champion, {expected}"
    return f"{champion.place} names bundle {champion.bundle_digest[:12]}, {expected}"
