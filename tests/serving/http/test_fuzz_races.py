"""Many callers who send the same decisions at once, alone and in batches, and go away in between."""

import json
import random
import threading
from collections import Counter
from typing import Any

import pytest

from tests.harness.fuzzed_server import BATCH, INVOCATIONS, Fuzzed, fuzzed
from tests.harness.protocol_steps import record
from tests.harness.raw_http import Answer, request
from tests.harness.server_process import URL
from tests.harness.small_models import SmallStore, golden_rows, score_request

IDS = 40


def sent_by(chance: random.Random) -> bytes:
    """A request for one, or for several in any order, of the same decisions."""
    numbers = chance.sample(range(IDS), chance.randint(1, 12))
    rows = [golden_rows(1)[number % 8].features for number in numbers]
    singles = [
        score_request(f"race-{number}", features=features) for number, features in zip(numbers, rows, strict=True)
    ]
    which = chance.randrange(3)
    if which == 0:
        return request(URL, json.dumps(singles[0]).encode(), x_explain="always")
    if which == 1:
        return request(BATCH, json.dumps({"requests": singles}).encode())
    records = [record(f"race-{number}", **features) for number, features in zip(numbers, rows, strict=True)]
    body = {"dataframe_records": records, "params": {"model": "card_fraud"}}
    return request(INVOCATIONS, json.dumps(body).encode(), content_type="application/json")


def call(server: Fuzzed, seed: int, answers: list[Answer]) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        with server.connect() as connection:
            connection.send(sent_by(chance))
            if chance.random() < 0.5:
                continue
            answer = connection.answer()
            assert answer is not None
            answers.append(answer)


@pytest.mark.long
@pytest.mark.parametrize("durability", ["written", "fsync"])
def test_each_decision_is_made_once_whoever_asks_for_it_and_goes_away(store: SmallStore, durability: str) -> None:
    store.publish(1)
    answers: list[Answer] = []
    with fuzzed(store, SERVING_LOG_DURABILITY=durability) as server:
        callers = [threading.Thread(target=call, args=(server, seed, answers)) for seed in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        server.check_alive()
    assert len(answers) > 100
    assert {answer.status for answer in answers} == {200}
    recorded = Counter(decision.decision_id for decision in store.decisions())
    margins: dict[str, set[float]] = {}
    for decision in map(answered, answers):
        for each in decision:
            margins.setdefault(each["decision_id"], set()).add(each["margin"])
    assert {key: {golden_rows(1)[int(key.removeprefix("race-")) % 8].margin} for key in margins} == margins
    assert set(margins) <= set(recorded)
    assert set(recorded.values()) == {1}


def answered(answer: Answer) -> list[dict[str, Any]]:
    document = answer.json()
    found: list[dict[str, Any]] = document.get("responses") or document.get("predictions") or [document]
    return found
