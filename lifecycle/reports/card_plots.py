"""Plots of the model card as SVG shapes: text, so that the card's bytes depend on no drawing library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.modelling.curves import Curves
from lifecycle.spec.examples import LabelNames

WIDTH, HEIGHT = 260.0, 180.0
"""Of the plotting area, in SVG units."""
BARS = 12
"""Bars of a bar chart; further values are small."""
ROUND_UP = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Ends of an axis."""


@dataclass(frozen=True)
class Line:
    """A curve in a plot's area: `points` as SVG reads them, and the largest value of both axes.

    `has_diagonal` draws the line of equal values, `has_dots` marks each point.
    """

    title: str
    x: str
    y: str
    points: tuple[tuple[str, str], ...]
    top: str
    has_diagonal: bool = False
    has_dots: bool = False

    @property
    def path(self) -> str:
        """The points of a polyline."""
        return " ".join(",".join(point) for point in self.points)


def holdout_plots(curves: Curves, names: LabelNames) -> tuple[Line, ...]:
    """ROC, precision and recall, and calibration of the judged model on the holdout."""
    roc, precision, calibration = curves.roc, curves.precision_recall, curves.calibration
    top = axis_end([*calibration["mean_score"], *calibration["positive_share"]])
    return (
        _line("ROC", "false positive rate", "true positive rate", *roc.values(), has_diagonal=True),
        _line("Precision and recall", "recall", "precision", *precision.values()),
        _line(
            "Calibration",
            "mean score",
            f"share of {names.positive} examples",
            calibration["mean_score"],
            calibration["positive_share"],
            top=top,
            has_diagonal=True,
            has_dots=True,
        ),
    )


def importance_bars(importance: Mapping[str, float]) -> tuple[tuple[str, str, str], ...]:
    """The largest shares of the gain: name, width of the bar in SVG units, and the share as text."""
    largest = sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:BARS]
    widest = max((share for _, share in largest), default=1.0) or 1.0
    return tuple((name, f"{WIDTH * share / widest:.1f}", f"{share:.1%}") for name, share in largest)


def axis_end(values: Sequence[float]) -> float:
    """The smallest end of an axis that holds all values.

    Examples
    --------
    >>> axis_end([0.003, 0.07])
    0.1
    """
    return next((end for end in ROUND_UP if end >= max(values, default=0.0)), ROUND_UP[-1])


def _line(
    title: str,
    x: str,
    y: str,
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    top: float = 1.0,
    has_diagonal: bool = False,
    has_dots: bool = False,
) -> Line:
    points = tuple(
        (f"{WIDTH * across / top:.1f}", f"{HEIGHT * (1 - up / top):.1f}") for across, up in zip(xs, ys, strict=True)
    )
    return Line(title, x, y, points, f"{top:g}", has_diagonal, has_dots)
