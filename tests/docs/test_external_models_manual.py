"""docs/external-models.md: its code writes a file that its YAML hands over, and its errors are those of the program."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lifecycle.errors import LifecycleError
from lifecycle.spec.external_files import read_external
from tests.harness.external_models import rows_before
from tests.harness.paths import ROOT
from tests.harness.small_models import SCHEMA
from tests.harness.toy_model import card_table, spec_with
from tests.harness.xgboost_models import DAMAGES, as_json, booster
from tests.lifecycle.spec.test_estimator import REFUSALS

MANUAL = (ROOT / "docs/external-models.md").read_text()


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)
    return str(found)


def test_the_code_writes_a_file_that_the_yaml_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows, outcomes = rows_before(card_table(4000))
    code = tmp_path / "hand_over.py"
    code.write_text(block("python"))
    runpy.run_path(str(code), {"rows": rows, "outcomes": outcomes})
    training = yaml.safe_load(block("yaml"))["training"]
    spec = spec_with(training=training)
    declared: Any = spec.training.estimator.external
    content, model_format = read_external(tmp_path / declared.file, spec.contract_features)
    assert (model_format, bool(content), np.isnan(rows).any()) == ("xgboost", True, np.True_)


def messages() -> dict[str, str]:
    """Every refusal of the tests, by what is handed over."""
    unnamed, stopped = booster(1).copy(), booster(1).copy()
    unnamed.feature_names = None
    stopped.set_attr(best_iteration="9")
    handed = {kind: (make(), features) for kind, (make, features, _) in REFUSALS.items()}
    handed |= {
        "early": (as_json(stopped), SCHEMA),
        "unnamed": (as_json(unnamed), SCHEMA),
        "dart": (as_json(booster(1, booster="dart")), SCHEMA),
        "damaged": (DAMAGES["a loop"](as_json(booster(1))), SCHEMA),
    }
    return {kind: message(*given) for kind, given in handed.items()}


def message(content: bytes, features: Any) -> str:
    path = Path("handed_over")
    path.write_bytes(content)
    with pytest.raises(LifecycleError) as caught:
        read_external(path, features)
    return str(caught.value)


def test_the_errors_in_the_table_are_those_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = MANUAL[MANUAL.index("## What is refused") :]
    shown = [row.rstrip(" |").split(" | ")[1].strip("` ") for row in table.splitlines() if row.startswith("| ")][1:]
    said = messages()
    missing = [text for text in shown if not any(text.rstrip("` ") in one for one in said.values())]
    assert len(shown) == 15
    assert missing == []
