"""Plausible mistakes in a model's file: each message has what was expected, what was found, the key, line and file."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.model_files import model_files, read_checked

SHIPPED = model_files()[0].read_text()
MART = "card_transaction_features"


class Mistake(NamedTuple):
    """`old` in the shipped file becomes `new`; the message names `key` and the line that has `line_of`, or `new`."""

    old: str
    new: str
    message: str
    key: str
    line_of: str | None = None
    profile: str | None = None


MISTAKES = {
    "key with a typing error": Mistake(
        "maturity_days: 7", "maturity_day: 7", "a known key, got 'maturity_day'; did you mean maturity_days?",
        "label.maturity_day",
    ),
    "key that does not exist": Mistake(
        "  promotion: {mode: auto}", "  promotion: {mode: auto}\n  colour: red", "a known key, got 'colour'", "colour",
        "colour: red",
    ),
    "missing key": Mistake(
        "    mart: card_transaction_features\n", "", "a value, got none", "examples.mart", "  examples:"
    ),
    "missing key of a part": Mistake(
        "    relation: card_fraud_outcomes\n", "", "one of `relation` (by report) and `column`", "label", "  label:"
    ),
    "number as text": Mistake(
        "train: 28", "train: four weeks", "a valid integer", "training.train"
    ),
    "null": Mistake("holdout: 7", "holdout:", "a valid integer, got null", "training.holdout"),
    "too small": Mistake(
        "train: 28", "train: 0", "a value greater than or equal to 1, got 0", "training.train"
    ),
    "not a whole week": Mistake("window_days: 7", "window_days: 10", "a multiple of 7, got 10", "drift.window_days"),
    "another choice": Mistake("mode: auto", "mode: always", "'auto' or 'manual', got 'always'", "promotion.mode"),
    "another type of a feature": Mistake(
        "{name: amount, dtype: float", "{name: amount, dtype: double", "'float', 'int' or 'category', got 'double'",
        "features.0.dtype",
    ),
    "a list instead of a mapping": Mistake(
        "  promotion: {mode: auto}", "  promotion: [auto]", "a valid dictionary", "promotion"
    ),
    "feature that the mart lacks": Mistake(
        "{name: customer_tx_count_1d, ", "{name: customer_txs_1d, ", f"columns of {MART}, missing 'customer_txs_1d'",
        "features.3.name",
    ),
    "type that the column does not have": Mistake(
        "{name: customer_mean_amount_1d, dtype: float", "{name: customer_mean_amount_1d, dtype: int",
        "'customer_mean_amount_1d' has the type double, where int needs bigint or", "features.4.dtype",
    ),
    "mart that does not exist": Mistake(
        "mart: card_transaction_features", "mart: card_transactions_features", "a dbt model", "examples.mart"
    ),
    "outcomes that do not exist": Mistake(
        "relation: card_fraud_outcomes", "relation: outcomes", "a dbt model", "label.relation"
    ),
    "feature twice": Mistake(
        "- name: is_night", "- name: Is_Weekend", "names that differ in more than case", "features.2.name"
    ),
    "name that no request can carry": Mistake(
        "{name: amount, ", '{name: "Amount EUR", ', "a name of 1 to 63 ASCII letters", "features.0.name"
    ),
    "reason group without a text": Mistake(
        "reason_group: time", "reason_group: tiem", "a text for each reason group, missing ['tiem']",
        "reason_texts.texts", "    texts:",
    ),
    "name of the model": Mistake("name: card_fraud", "name: Card Fraud", "text to match pattern", "name"),
    "name that is not the folder's": Mistake(
        "name: card_fraud", "name: fraud", "the name of the model's folder, 'card_fraud', got 'fraud'", "name"
    ),
    "time of day": Mistake(
        "  promotion: {mode: auto}", "  monitor_at: 25:00", "a valid string", "monitor_at", "monitor_at"
    ),
    "capacity below zero": Mistake(
        "review: 100", "review: -1", "got -1", "decision.capacity.review"
    ),
    "share above one": Mistake("confidence: 0.95", "confidence: 95", "a value less than 1, got 95", "gates.confidence"),
    "typing error in a profile": Mistake(
        "train: 14, validation", "train: -14, validation", "With the profile demo: Expected a value greater",
        "training.train", profile="demo",
    ),
}  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "card_fraud" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return path


def fault_of(path: Path, settings: Settings, profile: str | None = None) -> str:
    with pytest.raises(LifecycleError) as caught:
        read_checked(path, profile, dbt_projects(settings))
    return str(caught.value)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_key_line_and_file(settings: Settings, tmp_path: Path, name: str) -> None:
    mistake = MISTAKES[name]
    assert mistake.old in SHIPPED
    text = SHIPPED.replace(mistake.old, mistake.new, 1)
    message = fault_of(path := written(tmp_path, text), settings, mistake.profile)
    line = text[: text.index(mistake.line_of or mistake.new)].count("\n") + 1
    assert mistake.message in message
    assert f"at `{mistake.key}`, line {line}" in message
    assert str(path) in message


def test_a_key_twice_is_refused_and_not_overwritten(settings: Settings, tmp_path: Path) -> None:
    text = SHIPPED.replace("  promotion: {mode: auto}\n", "  promotion: {mode: auto}\n  promotion: {mode: manual}\n")
    message = fault_of(written(tmp_path, text), settings)
    expected = r"Expected each key once, got 'promotion' in line \d+ and again in line \d+ - in .*defs\.yaml"
    assert re.search(expected, message)


def test_several_mistakes_are_named_at_once(settings: Settings, tmp_path: Path) -> None:
    text = SHIPPED.replace("mode: auto", "mode: always").replace("window_days: 7", "window_days: 10")
    message = fault_of(written(tmp_path, text), settings)
    assert "at `promotion.mode`, line" in message
    assert "at `drift.window_days`, line" in message
