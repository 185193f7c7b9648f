"""Time to read and score a request of card_fraud whose derived features it carries, and one from which they follow.

``python -m benchmarks.derived_features`` reads and scores the same rows in both forms, in turn and in one process, with
a model of the shipped inputs. The rest of a decision (routing, record, answer) is the same for both.
"""

import argparse
import datetime as dt
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks.serving_models import CARD_FRAUD, Trained, train_card_fraud
from lifecycle.spec.model_files import read_model
from serving.contract.derivation import completion, is_derived
from serving.contract.documents import Feature
from serving.contract.features import RowEncoder
from serving.contract.row_compiler import RowError
from serving.scoring.scorer import Scorer
from serving.wire.score_request import RequestReader

ROWS = 200
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Form:
    """One form of the requests, with the reader and the scorer of its model."""

    def __init__(
        self, trained: Trained, schema: Sequence[Feature], facts: Sequence[Feature], bodies: list[bytes]
    ) -> None:
        self._read = RequestReader(schema, facts=facts).read
        self._row = RowEncoder(schema).row
        self._margin = Scorer(trained.booster.model_to_string().encode(), [each.name for each in schema]).margin
        self.bodies = bodies

    def margins(self) -> list[float]:
        """Read and score every request."""
        read, row, margin = self._read, self._row, self._margin
        return [margin(row(read(body).values)) for body in self.bodies]

    def read(self) -> None:
        """Read every request."""
        for body in self.bodies:
            self._read(body)


def forms(trained: Trained) -> tuple[Form, Form]:
    """Requests that carry every input, and requests of the same rows that carry facts."""
    spec = read_model(CARD_FRAUD)
    schema, facts = spec.contract_features, spec.contract_facts
    complete = completion(schema, facts)
    generator = np.random.default_rng(1)
    whole, short = [], []
    for number, values in enumerate(trained.rows.tolist()):
        named = {
            each.name: int(value) if each.dtype == "int" else value for each, value in zip(schema, values, strict=True)
        }
        carried = {each.name: named[each.name] for each in schema if not is_derived(each)}
        carried |= {fact.name: round(float(generator.gamma(2.0, 50.0)), 2) for fact in facts}
        moment = START + number * dt.timedelta(hours=7, microseconds=1)
        try:
            row = complete(tuple(carried.values()), moment)
        except RowError:
            continue
        envelope = {"decision_id": f"d{number}", "transaction_id": f"t{number}", "entity_key": f"e{number % 100}"}
        envelope |= {"occurred_at": moment.isoformat()}
        everything = dict(zip((each.name for each in schema), row, strict=True))
        whole.append(msgspec.json.encode(envelope | {"features": everything}))
        short.append(msgspec.json.encode(envelope | {"features": carried}))
        if len(short) == ROWS:
            break
    return Form(trained, trained.features, (), whole), Form(trained, schema, facts, short)


def microseconds(work: Callable[[], Any]) -> float:
    """Time of one request."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e6 / ROWS


def main() -> None:
    """Print the best times of both forms, which other work on the machine disturbs least, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400, help="how often each form is timed")
    rounds = parser.parse_args().rounds
    carried, derived = forms(train_card_fraud())
    assert carried.margins() == derived.margins()
    for name, works in (
        ("read", (carried.read, derived.read)),
        ("read and score", (carried.margins, derived.margins)),
    ):
        times = [[microseconds(work) for work in works] for _ in range(rounds)]
        one, two = (min(each) for each in zip(*times, strict=True))
        print(f"{name}: {one:.2f} us with every input, {two:.2f} us with facts, ratio {two / one:.3f}")
    sizes = [statistics.median(map(len, form.bodies)) for form in (carried, derived)]
    print(f"bytes of a request: {sizes[0]:.0f} with every input, {sizes[1]:.0f} with facts")


if __name__ == "__main__":
    main()
