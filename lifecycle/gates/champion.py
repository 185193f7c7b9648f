"""Selects the champion that a candidate is compared with, and tells a backtest from a run that may release."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.contract.documents import Release, SlotRelease


def champion_for(history: Sequence[Release], as_of: str) -> SlotRelease | None:
    """The champion that a candidate of `as_of` competes with; ``None`` before the first release.

    The champion in force, unless it is newer than the candidate. A backtest of a past `as_of` is compared with the
    champion of its own date: the newest released one that is older than the candidate.

    Parameters
    ----------
    history
        Every release of the model, oldest first.
    as_of
        The candidate's cut-off, an ISO date.
    """
    if not history:
        return None
    current = history[-1].champion
    if current.as_of <= as_of:
        return current
    older = [release.champion for release in history if release.champion.as_of < as_of]
    return max(older, key=lambda champion: champion.as_of, default=None)


def newest_as_of(history: Sequence[Release]) -> str | None:
    """The newest `as_of` of all champions, in force or not, as an ISO date; ``None`` before the first release.

    Automatic promotion compares with it: a champion that was rolled back is no reason to release an older model.
    """
    return max((release.champion.as_of for release in history), default=None)


def oldest_as_of(history: Sequence[Release]) -> str | None:
    """The oldest `as_of` of all champions, as an ISO date; ``None`` before the first release."""
    return min((release.champion.as_of for release in history), default=None)


@dataclass(frozen=True)
class AskedRun:
    """What a training run was asked; dates in ISO form.

    `is_backfill` if it belongs to a backfill. `is_first_release_asked` if a person asked for the first release at this
    very date. `newest_as_of` is the newest cut-off that the data allow, ``None`` if it is not known.
    """

    as_of: str
    is_backfill: bool = False
    is_first_release_asked: bool = False
    newest_as_of: str | None = None


def backtest_reason(history: Sequence[Release], run: AskedRun) -> str | None:
    """Why a run stops at the gates, and neither registers, releases nor alerts; ``None`` if it may release.

    A backtest is a part of a backfill, whatever stands as champion; a date that is no newer than some champion, in
    force or not; and, before the first release, a date that is not the data's newest, unless a person asked for it.
    """
    if run.is_backfill:
        return "a backfill is a backtest"
    newest = newest_as_of(history)
    if newest is not None and run.as_of <= newest:
        return f"a champion is as of {newest}, which is at least as new"
    is_past = run.newest_as_of is not None and run.as_of < run.newest_as_of
    if newest is None and is_past and not run.is_first_release_asked:
        return f"there is no champion, and the data allow a newer date, {run.newest_as_of}"
    return None
