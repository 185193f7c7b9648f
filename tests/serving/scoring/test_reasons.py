"""Which reasons a decision is given, as truth tables."""

import msgspec
import pytest

from serving.contract.documents import ContractError, Feature, ReasonTexts
from serving.scoring.reasons import ReasonGroups

GROUPS = ("amount", "time", "amount", "customer", "terminal", "country")
FEATURES = tuple(
    Feature(name=f"feature_{index}", dtype="float", reason_group=group) for index, group in enumerate(GROUPS)
)
TEXTS = ReasonTexts(version="2026-01", texts={group: f"About the {group}" for group in GROUPS})


@pytest.mark.parametrize(
    ("contributions", "expected"),
    [
        # amount   time  amount customer terminal country
        ((0.5, 0.1, 0.25, 0.4, 0.3, -9.0), [("amount", 0.75), ("customer", 0.4), ("terminal", 0.3), ("time", 0.1)]),
        ((0.5, 0.1, 0.25, 0.4, 0.3, 0.2), [("amount", 0.75), ("customer", 0.4), ("terminal", 0.3), ("country", 0.2)]),
        # A group is adverse by its sum, whatever its parts say.
        ((0.5, 0.1, -0.75, 0.0, 0.0, 0.0), [("time", 0.1)]),
        ((-0.5, 0.1, 0.75, 0.0, 0.0, 0.0), [("amount", 0.25), ("time", 0.1)]),
        # Ties go by the schema.
        ((0.25, 0.5, 0.25, 0.5, 0.5, 0.5), [("amount", 0.5), ("time", 0.5), ("customer", 0.5), ("terminal", 0.5)]),
        ((0.0, 0.5, 0.0, 0.25, 0.5, 0.75), [("country", 0.75), ("time", 0.5), ("terminal", 0.5), ("customer", 0.25)]),
        # Nothing adverse, or no more than rounding.
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), []),
        ((-0.5, -0.1, -0.25, -0.4, -0.3, -0.2), []),
        ((1e-9, 1.1e-9, 0.0, 1e-17, -1.0, 0.0), [("time", 1.1e-9)]),
    ],
)
def test_principal_reasons(contributions: tuple[float, ...], expected: list[tuple[str, float]]) -> None:
    found = ReasonGroups(FEATURES, TEXTS).principal(contributions)
    assert [(reason.code, reason.contribution) for reason in found] == expected
    assert [reason.text for reason in found] == [f"About the {code}" for code, _ in expected]


def test_as_many_contributions_as_features_are_asked_for() -> None:
    with pytest.raises(ValueError, match="zip"):
        ReasonGroups(FEATURES, TEXTS).principal((0.1, 0.2))


@pytest.mark.parametrize("text", [None, "", "  "])
def test_a_group_without_a_text_is_refused(text: str | None) -> None:
    texts = {group: said for group, said in TEXTS.texts.items() if group != "terminal"}
    if text is not None:
        texts["terminal"] = text
    violation = r"Expected a text for every reason group, got none for \['terminal'\] - at the reason texts '2026-01'"
    with pytest.raises(ContractError, match=violation):
        ReasonGroups(FEATURES, msgspec.structs.replace(TEXTS, texts=texts))


def test_a_feature_without_a_group_is_refused() -> None:
    features = (*FEATURES, Feature(name="age", dtype="int"))
    with pytest.raises(ContractError, match="Expected a reason group for every feature, got none for 'age'"):
        ReasonGroups(features, TEXTS)


def test_a_text_that_no_feature_needs_is_no_fault() -> None:
    texts = msgspec.structs.replace(TEXTS, texts={**TEXTS.texts, "retired": "About something else"})
    assert ReasonGroups(FEATURES, texts).version == "2026-01"
