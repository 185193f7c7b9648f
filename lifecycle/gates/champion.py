"""Which champion a candidate is compared with."""

from collections.abc import Sequence

from serving.contract.documents import Release, SlotRelease


def champion_for(history: Sequence[Release], as_of: str) -> SlotRelease | None:
    """The champion that a candidate of `as_of` competes with; ``None`` where there is none yet.

    The one that stands, if it is not newer than the candidate. A backtest of a past `as_of` is compared with the
    champion of its own date: the newest that was ever released and is older than the candidate.

    Parameters
    ----------
    history
        Every release of the model, oldest first.
    as_of
        The candidate's cut-off, an ISO date.
    """
    if not history:
        return None
    standing = history[-1].champion
    if standing.as_of <= as_of:
        return standing
    older = [release.champion for release in history if release.champion.as_of < as_of]
    return max(older, key=lambda champion: champion.as_of, default=None)


def is_backtest(history: Sequence[Release], as_of: str) -> bool:
    """Whether a candidate of `as_of` stops at the gates, because a champion at least as new was released."""
    return bool(history) and as_of <= history[-1].champion.as_of
