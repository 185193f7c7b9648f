"""Plot of what a bundle costs a server against the budgets of the gate `servable`, as PNG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lifecycle.gates.candidate_gates.servable import BUDGETED
from lifecycle.reports.plots import ACCENT, INK, QUIET, picture
from serving.contract.documents import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def budget_plot(verdict: Verdict) -> dict[str, bytes]:
    """A bar for each measure, as a share of its budget; empty if nothing was measured."""
    names = [name for name in BUDGETED if verdict.observed.get(name) is not None]
    if not names:
        return {}
    used = [verdict.observed[name] / verdict.required[f"maximum_{name}"] for name in names]
    words = [_words(verdict, name) for name in names]
    return {"budgets_used": picture(_bars, words, used)}


def _words(verdict: Verdict, name: str) -> str:
    words, unit = BUDGETED[name]
    return f"{words}\n{verdict.observed[name]:.3g} of {verdict.required[f'maximum_{name}']:g} {unit}"


def _bars(axes: "Axes", words: Sequence[str], used: Sequence[float]) -> None:
    axes.barh(words, used, color=[ACCENT if share > 1 else QUIET for share in used])
    axes.axvline(1, color=INK, linewidth=1, linestyle="--")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="share of the budget", xlim=(0, max(1.1, *used)))
