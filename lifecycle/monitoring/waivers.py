"""The alert of a waiver that has expired: it no longer lets its candidate be registered, promoted or made canary."""

import datetime as dt
from collections.abc import Sequence

from lifecycle.monitoring.alerts import Alert
from serving.contract.documents import Consent


def waiver_key(waiver: Consent) -> str:
    """Names the waiver in `Alert.keys`, so that it is reported once."""
    return f"{waiver.model}:waiver_expired:{waiver.number}"


def waiver_alert(waiver: Consent, as_of: str | None, slots: Sequence[str], raised_at: dt.datetime) -> Alert:
    """The alert of an expired waiver.

    Parameters
    ----------
    as_of
        The candidate's date; ``None`` if the candidate is gone.
    slots
        Slots of the release in force that the candidate fills; it stays in them.
    """
    model, short = waiver.model, waiver.candidate_digest[:12]
    again = f"`lifecycle waive {model} {short} {waiver.gate} --until DATE --reason ...`"
    in_force = f" It is the {' and the '.join(slots)} in force, and stays so." if slots else ""
    end = " or ".join(f"`lifecycle {_ENDS[slot]} {model} --reason ...`" for slot in slots)
    return Alert(
        kind="waiver_expired",
        model=model,
        as_of=as_of,
        run_id=None,
        message=f"The waiver of {waiver.gate} by {waiver.name} on candidate {short} expired at "
        f"{waiver.expires_at:%Y-%m-%d %H:%M} UTC: its registration, promotion and canary are refused again.{in_force}",
        remedy=f"Release a candidate that passes {waiver.gate}, or waive it again with {again}"
        + (f"; to end its use before that, {end}." if slots else "."),
        raised_at=raised_at,
        keys=(waiver_key(waiver),),
    )


_ENDS = {"champion": "rollback", "canary": "end-canary", "shadow": "end-shadow"}
