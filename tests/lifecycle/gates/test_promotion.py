import dataclasses
import datetime as dt
from typing import Any

import pytest

from lifecycle.gates.promotion import Champion, JudgedVersion, PromotionOrder, PromotionState, Refusal, decide_promotion
from lifecycle.spec.risk_model import PromotionSpec
from serving.contract.documents import Verdict

GATES = ("first", "second")
PASSED = tuple(Verdict(gate=gate, is_passed=True, summary="") for gate in GATES)
FAILED = (PASSED[0], Verdict(gate="second", is_passed=False, summary=""))
AS_OF = dt.date(2018, 8, 29)
VERSION = JudgedVersion("new", "candidate", AS_OF, "candidate", PASSED)
OLDER, SAME, NEWER = (Champion("old", AS_OF + dt.timedelta(days=days)) for days in (-1, 0, 1))


@pytest.mark.parametrize("mode", ["auto", "manual"])
@pytest.mark.parametrize("is_requested", [False, True])
@pytest.mark.parametrize(
    ("version", "champion", "is_frozen", "reason"),
    [
        ({}, None, False, None),
        ({}, OLDER, False, None),
        ({}, SAME, False, "its as_of 2018-08-29 is not newer than the champion's 2018-08-29"),
        ({}, NEWER, False, "its as_of 2018-08-29 is not newer than the champion's 2018-08-30"),
        ({}, OLDER, True, "promotion is frozen"),
        ({}, None, True, "promotion is frozen"),
        ({"verdicts": FAILED}, OLDER, False, "second failed"),
        ({"verdicts": PASSED[:1]}, OLDER, False, "there is no verdict of second"),
        ({"verdicts": ()}, None, False, "there is no verdict of first, second"),
        ({"verdicts_for": "another"}, OLDER, False, "the verdicts are on candidate another, not on candidate"),
        ({}, Champion("new", AS_OF), False, "it already is the champion"),
        ({}, Champion("new", AS_OF), True, "it already is the champion"),
    ],
)
def test_promotion(
    mode: Any,
    is_requested: bool,
    version: dict[str, Any],
    champion: Champion | None,
    is_frozen: bool,
    reason: str | None,
) -> None:
    state = PromotionState(dataclasses.replace(VERSION, **version), champion, is_frozen, is_requested)
    decision = decide_promotion(state, PromotionSpec(mode=mode), GATES)
    if reason is None and mode == "manual" and not is_requested:
        assert decision == Refusal("promotion is manual: a person must run `lifecycle promote`")
    elif reason is None:
        how = "promoted by a person" if is_requested else "promoted automatically"
        assert decision == PromotionOrder("new", AS_OF, f"{how}: 2 gates passed")
    else:
        assert decision == Refusal(reason, is_settled="already" in reason)


@pytest.mark.parametrize("is_requested", [False, True])
@pytest.mark.parametrize(
    ("waived", "approval_refusal", "reason"),
    [
        ((), None, "second failed"),
        (("first",), None, "second failed"),
        (("second",), None, None),
        (("second",), "it waits for approval", "it waits for approval"),
    ],
)
def test_a_waived_gate_counts_as_passed_and_a_missing_approval_stops_a_person_too(
    is_requested: bool, waived: tuple[str, ...], approval_refusal: str | None, reason: str | None
) -> None:
    version = dataclasses.replace(VERSION, verdicts=FAILED, waived=frozenset(waived))
    state = PromotionState(version, OLDER, False, is_requested, approval_refusal=approval_refusal)
    decision = decide_promotion(state, PromotionSpec(mode="auto", approvals="one"), GATES)
    if reason is None:
        assert isinstance(decision, PromotionOrder)
        assert decision.reason.endswith(": 1 gates passed, waived second")
    else:
        assert decision == Refusal(reason)


@pytest.mark.parametrize(
    ("canary", "is_requested", "is_promoted"),
    [(None, False, True), ("new", False, False), ("new", True, True), ("other", False, False), ("other", True, False)],
)
def test_while_a_canary_is_tried_only_a_person_promotes_and_only_its_bundle(
    canary: str | None, is_requested: bool, is_promoted: bool
) -> None:
    state = PromotionState(VERSION, OLDER, False, is_requested, canary)
    decision = decide_promotion(state, PromotionSpec(mode="auto"), GATES)
    assert isinstance(decision, PromotionOrder) is is_promoted
    if isinstance(decision, Refusal):
        assert "a canary is in progress" in decision.reason


@pytest.mark.parametrize("is_requested", [False, True])
@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ({"newest_as_of": AS_OF - dt.timedelta(days=1)}, None),
        ({"newest_as_of": AS_OF}, "its as_of 2018-08-29 is not newer than 2018-08-29, that of a champion that was"),
        ({"newest_as_of": AS_OF + dt.timedelta(days=9)}, "its as_of 2018-08-29 is not newer than 2018-09-07"),
        ({"hold": "release 3 is a rollback"}, "release 3 is a rollback"),
        (
            {"new_fields": ("limit_bal",)},
            "its requests carry limit_bal, which the champion's need not: release",
        ),
    ],
)
def test_after_a_rollback_or_with_new_fields_only_a_person_promotes(
    fact: dict[str, Any], reason: str | None, is_requested: bool
) -> None:
    decision = decide_promotion(
        PromotionState(VERSION, OLDER, False, is_requested, **fact), PromotionSpec(mode="auto"), GATES
    )
    if reason is None or is_requested:
        assert isinstance(decision, PromotionOrder)
    else:
        assert isinstance(decision, Refusal)
        assert decision.reason.startswith(reason)
