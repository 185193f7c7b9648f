"""Principal reasons of an adverse decision: the groups of features that contributed most, with approved texts."""

from collections.abc import Iterable, Sequence
from typing import Final

from serving.contract.documents import ContractError, Feature, Reason, ReasonTexts
from serving.scoring.lightgbm_library import ScoringError

MOST_REASONS: Final = 4
"""Limit that the official commentary on Regulation B, 12 CFR 1002.9(b)(2), considers helpful to the applicant."""
SMALLEST_ADVERSE: Final = 1e-9
"""Accuracy of contributions: one that adds less to the log odds is rounding, not a reason."""


class ExplainingError(ScoringError):
    """A decision could not be explained; the message holds no customer's value."""


class ReasonGroups:
    """The reason groups of a model, each with its text.

    Parameters
    ----------
    features
        The model's schema.
    texts
        The texts by group.

    Raises
    ------
    ContractError
        If a feature has no group, or a group has no text; the message names it.

    Examples
    --------
    >>> features = [Feature(name=name, dtype="float", reason_group=name[0]) for name in ("a1", "a2", "b1", "c1")]
    >>> groups = ReasonGroups(features, ReasonTexts(version="1", texts={"a": "Amount", "b": "Balance", "c": "Count"}))
    >>> [(reason.code, reason.contribution) for reason in groups.principal([0.25, 0.5, 1.0, -2.0])]
    [('b', 1.0), ('a', 0.75)]
    """

    def __init__(self, features: Sequence[Feature], texts: ReasonTexts) -> None:
        self.version = texts.version
        grouped = [_group(feature) for feature in features]
        self._codes = tuple(dict.fromkeys(grouped))
        missing = [code for code in self._codes if not texts.texts.get(code, "").strip()]
        if missing:
            where = f"at the reason texts {texts.version!r}"
            raise ContractError(f"Expected a text for every reason group, got none for {missing} - {where}")
        self._texts = tuple(texts.texts[code] for code in self._codes)
        self._group_of = [self._codes.index(code) for code in grouped]

    def principal(self, contributions: Iterable[float]) -> tuple[Reason, ...]:
        """The adverse groups, the strongest first, at most four.

        A group's contribution is the sum of its features'; it is adverse if it raises the log odds of the
        event. Ties keep the schema's order of the groups' first features.

        Parameters
        ----------
        contributions
            To the margin, in the order of the features.
        """
        sums = [0.0] * len(self._codes)
        for group, contribution in zip(self._group_of, contributions, strict=True):
            sums[group] += contribution
        adverse = [group for group, added in enumerate(sums) if added > SMALLEST_ADVERSE]
        adverse.sort(key=lambda group: (-sums[group], group))
        return tuple(
            Reason(code=self._codes[group], text=self._texts[group], contribution=sums[group])
            for group in adverse[:MOST_REASONS]
        )


def _group(feature: Feature) -> str:
    if not feature.reason_group:
        raise ContractError(f"Expected a reason group for every feature, got none for {feature.name!r}")
    return feature.reason_group
