import datetime as dt
from typing import Any

import pytest

from lifecycle.gates.approval_policy import approvals_of, person_key
from lifecycle.spec.risk_model import PromotionSpec
from serving.contract.documents import Consent

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
CANDIDATE = "c" * 64


def act(name: str, *, days: float = 30, account: str = "ops", **changes: Any) -> Consent:
    """An approval of the candidate that expires `days` after now; a withdrawal if that is asked for."""
    fields: dict[str, Any] = {
        "schema_version": 1,
        "model": "toy",
        "number": 1,
        "candidate_digest": CANDIDATE,
        "name": name,
        "account": account,
        "reason": "r",
        "acted_at": NOW - dt.timedelta(days=1),
        "expires_at": NOW + dt.timedelta(days=days),
    }
    return Consent(**(fields | changes))


ANNA, BEN = act("anna", account="a1"), act("ben", account="b1")


@pytest.mark.parametrize(
    ("acts", "trainers", "standings", "auto", "one", "two"),
    [
        ([], [], [], True, False, False),
        ([ANNA], [], ["given"], True, True, False),
        ([ANNA, BEN], [], ["given", "given"], True, True, True),
        ([ANNA, ANNA], [], ["given"], True, True, False),
        ([ANNA, act(" ANNA ")], [], ["given"], True, True, False),
        ([act("Anna Meier"), act("anna  meier")], [], ["given"], True, True, False),
        ([ANNA, BEN], ["Anna"], ["by the trainer", "given"], True, True, False),
        ([ANNA], ["ANNA "], ["by the trainer"], True, False, False),
        ([ANNA, act("ben", days=0)], [], ["given", "expired"], True, True, False),
        ([act("ben", days=-1), BEN], [], ["given"], True, True, False),
        ([ANNA, BEN, act("ben", is_withdrawal=True, expires_at=None)], [], ["given", "withdrawn"], True, True, False),
        ([act("ben", is_withdrawal=True, expires_at=None), BEN, ANNA], [], ["given", "given"], True, True, True),
        ([ANNA, act("ben", candidate_digest="d" * 64)], [], ["given"], True, True, False),
        ([ANNA, act("ben", gate="above_floor")], [], ["given"], True, True, False),
    ],
)
def test_a_candidate_waits_until_enough_people_approve_it(
    acts: list[Consent], trainers: list[str], standings: list[str], auto: bool, one: bool, two: bool
) -> None:
    for policy, is_granted in (("auto", auto), ("one", one), ("two", two)):
        spec = PromotionSpec.model_validate({"approvals": policy})
        found = approvals_of(acts, "toy", CANDIDATE, spec, trainers, NOW)
        assert [person.standing for person in found.acts] == standings
        assert found.is_granted is is_granted
        assert (found.refusal is None) is is_granted


@pytest.mark.parametrize(
    ("acts", "approvers", "given"),
    [
        ([act("anna"), act("ben")], "name", 2),
        ([act("anna"), act("ben")], "account", 1),
        ([act("anna"), act("ben", account="OPS ")], "account", 1),
        ([act("anna", account="a1"), act("anna", account="b1")], "name", 1),
        ([act("anna", account="a1"), act("anna", account="b1")], "account", 2),
        ([act("x", account="anna", account_from="single_sign_on"), act("anna", account="a1")], "name", 1),
    ],
)
def test_people_are_told_apart_by_name_or_by_account(acts: list[Consent], approvers: str, given: int) -> None:
    spec = PromotionSpec.model_validate({"approvals": "two", "approvers": approvers})
    assert len(approvals_of(acts, "toy", CANDIDATE, spec, (), NOW).counted) == given


def test_the_refusal_names_who_approved_and_the_command() -> None:
    spec = PromotionSpec(approvals="two")
    refusal = approvals_of([ANNA, act("ben", days=-1)], "toy", CANDIDATE, spec, (), NOW).refusal
    assert refusal == (
        "it waits for approval: 1 of 2 given (anna), not counted: ben (expired); a person who did not train it must "
        "run `lifecycle approve toy cccccccccccc --reason ...`"
    )


def test_different_people_have_different_keys() -> None:
    names = ["anna", "Anna", "an na", "\uff41nna", "ben", "annа"]
    assert [person_key(name) == "anna" for name in names] == [True, True, True, True, False, False]
