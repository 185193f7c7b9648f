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


def is_backtest(history: Sequence[Release], as_of: str) -> bool:
    """Whether a candidate of `as_of` stops at the gates because the champion is at least as new."""
    return bool(history) and as_of <= history[-1].champion.as_of
