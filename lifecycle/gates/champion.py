"""Selects the champion that a candidate is compared with."""

from collections.abc import Sequence

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


def is_backtest(history: Sequence[Release], as_of: str) -> bool:
    """Whether a candidate of `as_of` stops at the gates because a champion, in force or not, was at least as new."""
    newest = newest_as_of(history)
    return newest is not None and as_of <= newest
