import itertools
from collections import Counter

import numpy as np
import pytest

from benchmarks import serving_claims, serving_load, serving_overload, serving_soak, serving_swaps
from benchmarks.serving_claims import at_least, at_most, exit_code
from benchmarks.serving_load import LOST, Answer
from benchmarks.serving_models import RowRequests, Trained, decision_id, request_number
from benchmarks.serving_overload import Offered
from benchmarks.serving_servers import Footprint
from benchmarks.serving_soak import Sample, is_invalid
from benchmarks.serving_swaps import Swap, Witness, out_of_force
from benchmarks.serving_trial import Outcome
from serving.contract.documents import Feature

ROWS = np.array([[1.5, 3], [2.5, 4]])


@pytest.fixture
def requests() -> RowRequests:
    features = (Feature(name="amount", dtype="float"), Feature(name="count", dtype="int"))
    return RowRequests(Trained("card_fraud", features, None, ROWS, {}), ROWS, explained_every=3, first=7)


def test_requests_have_ids_of_their_own_rows_in_turn_and_a_true_length(requests: RowRequests) -> None:
    taken = [requests.take() for _ in range(6)]
    assert [number for number, _ in taken] == list(range(7, 13))
    for number, request in taken:
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert decision_id(number).encode() in body
        assert (b'"amount":1.5,"count":3' in body) == (number % 2 == 0)
        assert (b"X-Explain: always" in head) == (number % 3 == 0)
        assert requests.encoded(number) == request
    assert request_number(decision_id(7)) == 7


def test_a_witness_refuses_another_bundle_and_another_margin() -> None:
    witness = Witness({1: "a", 2: "b"}, {"a": [0.5, 1.5], "b": [0.25, 1.25]})
    assert witness.is_right(3, 1, "a", 1.5)
    assert not witness.is_right(3, 1, "b", 1.25)
    assert not witness.is_right(3, 3, "a", 1.5)
    assert not witness.is_right(2, 1, "a", 1.5)
    assert not witness.is_right(3, 2, "b", np.nextafter(1.25, 2))


@pytest.mark.parametrize(
    ("sent", "answered", "release", "expected"),
    [
        pytest.param(0.5, 1.0, 1, (0, 0), id="before"),
        pytest.param(1.5, 2.5, 1, (0, 0), id="old release while the new one loads"),
        pytest.param(3.9, 4.5, 1, (0, 0), id="old release, routed before the new one was shown"),
        pytest.param(4.1, 4.5, 1, (1, 0), id="old release after the new one was shown"),
        pytest.param(1.5, 2.5, 2, (0, 0), id="new release before it was shown"),
        pytest.param(0.5, 1.0, 2, (0, 1), id="new release before it was published"),
    ],
)
def test_a_release_is_in_force_from_its_publication_at_the_earliest_and_its_showing_at_the_latest(
    sent: float, answered: float, release: int, expected: tuple[int, int]
) -> None:
    swaps = [Swap(2, 2.0, 4.0)]
    assert out_of_force(np.array([sent]), np.array([answered]), np.array([release]), swaps) == expected


def test_no_answer_goes_back_behind_a_release_that_an_answer_had_shown() -> None:
    sent, answered = np.array([2.1, 2.2, 2.7]), np.array([2.5, 2.6, 2.9])
    swaps = [Swap(2, 2.0, 4.0)]
    assert out_of_force(sent, answered, np.array([2, 1, 2]), swaps) == (0, 0)
    assert out_of_force(sent, answered, np.array([2, 1, 1]), swaps) == (1, 0)


def answers(
    seconds: float, rate: float, latency: float, share_shed: float = 0.0, shed_latency: float = 0.001
) -> Offered:
    made = []
    for number in range(round(seconds * rate)):
        due_at = number / rate
        is_shed = (number * share_shed) % 1 + share_shed >= 1
        status, took = (429, shed_latency) if is_shed else (200, latency)
        made.append(Answer(number, status, due_at, due_at, due_at + took, b""))
    return Offered("phase", rate, made, [80.0] * 40, 0.0)


def overload_outcome(overloaded: Offered, after: Offered) -> Outcome:
    return serving_overload._outcome(1000.0, 30.0, answers(2, 200, 0.002), overloaded, after)


def broken(outcome: Outcome) -> list[str]:
    return [claim.claim for claim in outcome.claims if not claim.holds]


def test_overload_holds_where_the_rest_is_turned_away_at_once() -> None:
    assert broken(overload_outcome(answers(2, 3000, 0.009, 2 / 3), answers(3, 200, 0.002))) == []


@pytest.mark.parametrize(
    ("overloaded", "after", "expected"),
    [
        pytest.param(answers(2, 3000, 0.011, 2 / 3), answers(3, 200, 0.002), ["p99 of accepted"], id="slow"),
        pytest.param(
            answers(2, 3000, 0.009, 2 / 3, 0.02), answers(3, 200, 0.002), ["p99 of refusals"], id="slow to shed"
        ),
        pytest.param(
            answers(2, 3000, 0.009), answers(3, 200, 0.002), ["requests that were", "p99 of refusals"], id="none shed"
        ),
        pytest.param(
            answers(2, 3000, 0.009, 2 / 3), answers(3, 200, 0.005), ["p50 1 s afterwards"], id="slow afterwards"
        ),
        pytest.param(
            answers(2, 3000, 0.009, 2 / 3), answers(3, 200, 0.002, 0.1), ["% not answered"], id="still shedding"
        ),
    ],
)
def test_overload_says_what_does_not_hold(overloaded: Offered, after: Offered, expected: list[str]) -> None:
    found = broken(overload_outcome(overloaded, after))
    assert len(found) == len(expected)
    assert all(claim.startswith(start) for claim, start in zip(found, expected, strict=True))


def test_a_lost_request_is_neither_accepted_nor_turned_away() -> None:
    offered = answers(2, 3000, 0.009, 2 / 3)
    offered.answers.append(Answer(9, LOST, 1.0, 1.0, 1.1, b""))
    assert broken(overload_outcome(offered, answers(3, 200, 0.002))) == [
        "requests with neither a decision nor 429 or 503"
    ]


def soak_outcome(resident: list[float], descriptors: list[int]) -> Outcome:
    held = [Footprint(mb, count, 3) for mb, count in zip(resident, descriptors, strict=True)]
    samples = [Sample(30.0 * index, each) for index, each in enumerate(held)]
    return serving_soak._outcome(samples, Counter(expected=100), 1, 10.0)


def test_a_soak_holds_where_what_is_held_settles() -> None:
    assert broken(soak_outcome([50.0, 70.0, 80.0, 82.0] + [82.0] * 12, [16] + [32] * 15)) == []


def test_a_soak_finds_memory_and_descriptors_that_grow() -> None:
    leaking = [80.0 + index for index in range(16)]
    found = broken(soak_outcome(leaking, [16, *range(30, 45)]))
    assert found == ["MB that memory grew by", "descriptors more than before"]
    assert sum(is_invalid(number) for number in range(1000)) == 10


def test_a_figure_that_could_not_be_measured_holds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    claims = [at_most("a", float("nan"), 1), at_least("b", float("nan"), 1), at_most("c", 1, 1), at_least("d", 1, 1)]
    assert [claim.holds for claim in claims] == [False, False, True, True]
    assert exit_code(claims) == 1
    assert [line.split()[3] for line in capsys.readouterr().err.splitlines()] == ["a:", "b:"]
    assert exit_code(claims[2:]) == 0


def test_the_examples_in_the_benchmarks_are_true() -> None:
    import doctest

    modules = (serving_claims, serving_load, serving_overload, serving_soak, serving_swaps)
    results = [doctest.testmod(module) for module in modules]
    assert [result.failed for result in results] == [0] * len(modules)
    assert all(result.attempted for result in itertools.islice(results, len(modules)))
