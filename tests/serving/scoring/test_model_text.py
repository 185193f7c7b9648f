import dataclasses
import subprocess

import lightgbm
import numpy as np
import pytest

from serving.artefacts.bundle import Bundle, read_bundle
from serving.contract.documents import MODEL_FILE, ContractError
from serving.scoring import trial_load
from serving.scoring.model import load_model
from serving.scoring.model_text import NotWholeError, check_whole
from serving.scoring.trial_load import check_in_child
from tests.harness.model_texts import DAMAGES, with_tree_sizes
from tests.harness.small_models import NAMES, SmallStore, booster


@pytest.fixture(params=[False, True], ids=["scores", "explains"])
def bundle(request: pytest.FixtureRequest, store: SmallStore) -> Bundle:
    folder = store.settings.release_store / "bundles" / store.seal(1, can_explain=request.param)
    return read_bundle(folder, store.keys.public_keys)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_text_is_refused_with_and_without_reasons(bundle: Bundle, damage: str) -> None:
    damaged = DAMAGES[damage](bundle.model_text.decode()).encode()
    assert damaged != bundle.model_text
    with pytest.raises(NotWholeError, match=r"^Expected .* - at model\.txt"):
        load_model(dataclasses.replace(bundle, files={**bundle.files, MODEL_FILE: damaged}))


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "binary"},
        {"objective": "binary", "linear_tree": True},
        {"objective": "binary", "boosting": "dart"},
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"objective": "binary", "min_data_in_leaf": 400},
        {"objective": "multiclass", "num_class": 3},
    ],
)
def test_what_lightgbm_writes_is_whole(parameters: dict[str, object]) -> None:
    generator = np.random.default_rng(0)
    rows, target = generator.normal(size=(500, 3)), generator.integers(0, 3, 500)
    labels = target if parameters["objective"] == "multiclass" else target > 1
    made = lightgbm.train({"verbosity": -1, "num_threads": 1, **parameters}, lightgbm.Dataset(rows, labels), 5)
    for text in (
        made.model_to_string(),
        made.model_to_string(num_iteration=2),
        lightgbm.Booster(model_str=made.model_to_string()).model_to_string(),
    ):
        check_whole(text.encode())
        assert with_tree_sizes(text) == text


def test_a_crash_of_lightgbm_ends_only_the_trial_process() -> None:
    text = DAMAGES["a child that does not exist"](booster(1).model_to_string()).encode()
    with pytest.raises(ContractError, match=r"it ended the trial process with SIG(ABRT|SEGV) - at model.txt"):
        check_in_child(text, len(NAMES))


def test_an_endless_loop_ends_with_the_trial_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_load, "TRIAL_SECONDS", 3.0)
    text = DAMAGES["a loop"](booster(1).model_to_string()).encode()
    with pytest.raises(ContractError, match="Expected LightGBM to load the model within 3 s, it did not"):
        check_in_child(text, len(NAMES))


def test_a_trial_process_that_cannot_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr("sys.executable", "/bin/false")
    text = with_tree_sizes(booster(77).model_to_string()).encode()
    with pytest.raises(ContractError, match="Expected a trial process that loads the model, got: no message"):
        check_in_child(text, len(NAMES))


def test_a_text_that_passed_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = booster(1).model_to_string().encode()
    check_in_child(text, len(NAMES))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a second process was started")

    monkeypatch.setattr(subprocess, "run", refuse)
    check_in_child(text, len(NAMES))
