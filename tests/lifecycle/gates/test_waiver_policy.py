import datetime as dt
from typing import Any

import pytest

from lifecycle.gates.candidate_gates import GATES
from lifecycle.gates.waiver_policy import NOT_WAIVABLE, waivers_of
from serving.contract.documents import Consent, Outcome, Verdict
from tests.lifecycle.gates.test_approval_policy import CANDIDATE, NOW, act


def waiver(gate: str = "above_floor", *, days: float = 7, **changes: Any) -> Consent:
    """A waiver of a gate of the candidate."""
    return act("anna", gate=gate, expires_at=NOW + dt.timedelta(days=days), **changes)


WITHDRAWN = act("ben", gate="above_floor", is_withdrawal=True, expires_at=None)


@pytest.mark.parametrize(
    ("outcomes", "acts", "refusal"),
    [
        ({"above_floor": "PASS"}, [], None),
        ({"above_floor": "FAIL"}, [], "refused by above_floor"),
        ({"above_floor": "FAIL"}, [waiver()], None),
        ({"above_floor": "INCONCLUSIVE"}, [waiver()], None),
        ({"above_floor": "PASS"}, [waiver()], None),
        ({"above_floor": "FAIL", "enough_evidence": "FAIL"}, [waiver()], "refused by enough_evidence"),
        ({"above_floor": "FAIL", "enough_evidence": "INCONCLUSIVE"}, [waiver(), waiver("enough_evidence")], None),
        ({"above_floor": "FAIL"}, [waiver("enough_evidence")], "refused by above_floor"),
        ({"above_floor": "FAIL"}, [waiver(candidate_digest="d" * 64)], "refused by above_floor"),
        (
            {"above_floor": "FAIL"},
            [waiver(days=0)],
            "refused by above_floor; the waiver of above_floor by anna is expired",
        ),
        ({"above_floor": "FAIL"}, [waiver(days=-1), waiver()], None),
        (
            {"above_floor": "FAIL"},
            [waiver(), WITHDRAWN],
            "refused by above_floor; the waiver of above_floor by ben is withdrawn",
        ),
        ({"above_floor": "FAIL"}, [waiver(), WITHDRAWN, waiver()], None),
        ({"point_in_time": "FAIL"}, [waiver("point_in_time")], "refused by point_in_time"),
        ({}, [waiver()], "no verdicts"),
    ],
)
def test_a_verdict_blocks_until_it_passes_or_is_waived(
    outcomes: dict[str, Outcome], acts: list[Consent], refusal: str | None
) -> None:
    verdicts = [Verdict.of(gate, outcome, "", {}, {}) for gate, outcome in outcomes.items()]
    waivers = waivers_of(acts, CANDIDATE, verdicts, NOW)
    assert waivers.refusal == refusal
    used = {gate for gate, outcome in outcomes.items() if outcome != "PASS"} if refusal is None else waivers.gates
    assert waivers.gates == used


def test_gates_that_no_person_can_waive_exist() -> None:
    assert NOT_WAIVABLE.keys() <= set(GATES)
