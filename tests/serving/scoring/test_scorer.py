import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from serving.contract.documents import ContractError
from serving.scoring.lightgbm_library import missing_library_message
from serving.scoring.model_text import NotWholeError
from serving.scoring.scorer import Scorer
from tests.harness.small_models import NAMES, booster, examples


def text(seed: int = 1) -> bytes:
    return bytes(booster(seed).model_to_string().encode())


def test_margins_are_the_bits_of_booster_predict() -> None:
    rows = examples()[0]
    expected = booster(1).predict(rows, raw_score=True)
    scorer = Scorer(text(), NAMES)
    found = np.array([scorer.margin(row) for row in rows.tolist()])
    assert np.isnan(rows).any()
    assert found.tobytes() == expected.tobytes()


def test_values_never_seen_in_training_give_the_bits_of_booster_predict() -> None:
    rows = np.array(
        [[0.0, 0, 99, np.nan], [1e300, 1, -3, -1e300], [np.nan, np.nan, np.nan, np.nan], [-0.0, 1, 1.5, 5e-324]]
    )
    scorer = Scorer(text(), NAMES)
    found = np.array([scorer.margin(row) for row in rows.tolist()])
    assert found.tobytes() == booster(1).predict(rows, raw_score=True).tobytes()


def test_many_threads_score_one_model_without_disturbing_each_other() -> None:
    rows = examples()[0][:500]
    expected = booster(1).predict(rows, raw_score=True).tolist()
    scorer = Scorer(text(), NAMES)
    wrong: list[int] = []

    def score() -> None:
        found = [scorer.margin(row) for row in rows.tolist()]
        wrong.extend(index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])

    threads = [threading.Thread(target=score) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.long
def test_memory_goes_with_the_last_reference() -> None:
    model = text()
    row = examples()[0][0].tolist()
    for _ in range(20):
        Scorer(model, NAMES).margin(row)
    gc.collect()
    before = resident_bytes()
    for _ in range(300):
        Scorer(model, NAMES).margin(row)
    gc.collect()
    # One model takes some 150 kB: 300 that stayed would be 45 MB.
    assert resident_bytes() - before < 15_000_000


def test_other_inputs_than_the_schema_names_are_refused() -> None:
    with pytest.raises(ContractError, match="Expected a model with 3 inputs, got 4"):
        Scorer(text(), NAMES[:3])
    with pytest.raises(ContractError, match=r"in this order, got other inputs at \['amount', 'is_night'\]"):
        Scorer(text(), [NAMES[1], NAMES[0], *NAMES[2:]])


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(NotWholeError, match="Expected a model in LightGBM's text format, got another text"):
        Scorer(b"no model", NAMES)


def test_a_row_of_another_length_is_refused() -> None:
    scorer = Scorer(text(), NAMES)
    with pytest.raises(Exception, match="pack_into expected 4 items"):
        scorer.margin([1.0])


def test_a_system_without_openmp_is_told_what_to_install() -> None:
    violation = "libgomp.so.1: cannot open shared object file: No such file or directory"
    assert "apt-get install libgomp1" in missing_library_message(Path("lib_lightgbm.so"), violation)
    assert "apt-get" not in missing_library_message(Path("lib_lightgbm.so"), "invalid ELF header")
