"""The slices of a verdict as a table: the gain over the rival, or the decisions that differ from the champion's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lifecycle.gates.candidate_gates.differences import difference_text
from lifecycle.modelling.evaluation import Interval
from serving.contract.documents import Verdict

Row = tuple[str, ...]


@dataclass(frozen=True)
class SliceTable:
    """A caption, the header, and rows of text; the columns of `numbers` are aligned to the right."""

    caption: str
    header: Row
    rows: tuple[Row, ...]
    numbers: tuple[int, ...]


def slice_table(verdict: Verdict) -> SliceTable | None:
    """The table of a verdict on slices; ``None`` for another gate, and if there is no slice."""
    gains, flips = verdict.observed.get("slices"), verdict.observed.get("flips_by_slice")
    if gains:
        return SliceTable(
            f"Gain over the {verdict.observed['against']} on each slice; above 0 the candidate is better, of both "
            "scores. p before Holm's correction:",
            ("slice", "rows", "positives", "metric", "gain", "p", "gain in Brier score", "p"),
            tuple(_gain(row) for row in gains),
            (1, 2, 4, 5, 6, 7),
        )
    if flips:
        rows = tuple((row["name"], f"{row['rows']:,}", f"{row['share']:.2%}") for row in flips)
        return SliceTable(
            "Decisions that differ from the champion's on each slice:", ("slice", "rows", "differ"), rows, (1, 2)
        )
    return None


def _gain(row: Mapping[str, Any]) -> Row:
    counts = (row["slice"], f"{row['rows']:,}", f"{row['positives']:,}")
    if row["metric"] is None:
        return (*counts, "too few to judge", "-", "-", "-", "-")
    return (*counts, row["metric"].replace("_", " "), *_interval(row["ranking"]), *_interval(row["brier"]))


def _interval(gain: Mapping[str, float]) -> tuple[str, str]:
    return difference_text(Interval(gain["gain"], gain["low"], gain["high"])), f"{gain['p_value']:.2g}"
