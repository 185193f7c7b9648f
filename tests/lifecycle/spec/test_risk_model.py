"""A model's file: what is wrong in it is said with the file, the key and what was expected."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.mart_contract import check_columns, feature_descriptions
from lifecycle.spec.model_files import read_model, read_spec
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.paths import ROOT
from tests.harness.toy_model import spec_with

SHIPPED = ROOT / "lifecycle" / "defs" / "card_fraud" / "defs.yaml"


def shipped() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    return document


def written(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "defs.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_shipped_model_reads_with_and_without_the_demo_profile() -> None:
    production, demo = read_model("card_fraud"), read_model("card_fraud", "demo")
    assert production.label.maturity_days == 7
    assert demo.label.maturity_days == 2
    assert demo.features == production.features


def test_the_books_fifteen_inputs_come_first_in_the_schema() -> None:
    windows = ("1d", "7d", "30d")
    customer = [f"customer_{what}_{window}" for window in windows for what in ("tx_count", "mean_amount")]
    terminal = [f"terminal_{what}_{window}" for window in windows for what in ("tx_count", "fraud_share")]
    first = read_model("card_fraud").feature_names[:15]
    assert list(first) == ["amount", "is_weekend", "is_night", *customer, *terminal]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            ("training", "trian"),
            28,
            r"did you mean train\? - at `training\.trian`",
        ),
        (
            ("training", "train"),
            0,
            r"greater than or equal to 1, got 0 - at `training\.train`",
        ),
        (("training", "train"), 3, r"train of at least training\.holdout = 7, got 3"),
        (("training", "search", "trials"), "many", r"valid integer.* - at `training\.search\.trials`"),
        (("drift", "window_days"), 10, r"multiple of 7, got 10 - at `drift\.window_days`"),
        (("decision", "capacity", "decline"), 100, r"fewer to decline than to review = 100, got 100"),
        (("promotion", "mode"), "always", r"'auto' or 'manual', got 'always' - at `promotion\.mode`"),
        (("name",), "Card Fraud", r"match pattern .* - at `name`"),
        (("label", "maturity_days"), None, r"valid integer, got null - at `label\.maturity_days`"),
    ],
)
def test_a_wrong_value_names_the_file_the_key_and_what_was_expected(
    tmp_path: Path, path: tuple[str, ...], value: object, expected: str
) -> None:
    document = shipped()
    place = document["attributes"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(LifecycleError, match=expected):
        read_spec(written(tmp_path, document))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    document = shipped()
    del document["attributes"]["label"]
    with pytest.raises(LifecycleError, match=r"Expected a value, got none - at `label`, line 1 - in .*defs\.yaml"):
        read_spec(written(tmp_path, document))


def test_a_feature_named_twice_is_refused(tmp_path: Path) -> None:
    document = shipped()
    document["attributes"]["features"].append({"name": "amount"})
    index = len(document["attributes"]["features"]) - 1
    with pytest.raises(
        LifecycleError, match=rf"got 'amount' again - at `features\.{index}\.name`, line \d+ - in .*defs\.yaml"
    ):
        read_spec(written(tmp_path, document))


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ({"name": "Amount EUR"}, r"1 to 63 ASCII letters, .*, got 'Amount EUR' - at `features\.0\.name`"),
        ({"name": "decision_id"}, r"a name other than .*, got 'decision_id' - at `features\.0\.name`"),
        ({"name": "score"}, r"a name other than .*'score'.*, got 'score' - at `features\.0\.name`"),
        ({"name": "reported_at"}, r"a name other than .*, got 'reported_at' - at `features\.0\.name`"),
        ({"name": "kind", "dtype": "category"}, r"the categories of .*, got none - at `features\.0\.categories`"),
    ],
)
def test_a_feature_that_no_request_can_carry_is_refused_with_file_and_key(
    tmp_path: Path, feature: dict[str, Any], expected: str
) -> None:
    document = shipped()
    document["attributes"] |= {"features": [feature], "reason_texts": None}
    with pytest.raises(LifecycleError, match=f"{expected}, line \\d+ - in .*defs\\.yaml"):
        read_spec(written(tmp_path, document))


def reason_texts(**changes: object) -> dict[str, Any]:
    document = shipped()
    document["attributes"]["reason_texts"] |= changes
    return document


def test_the_shipped_model_has_a_text_for_each_reason_group() -> None:
    spec = read_model("card_fraud")
    assert spec.reason_texts is not None
    assert set(spec.reason_texts.texts) == {feature.reason_group for feature in spec.features}
    assert read_model("card_fraud", "demo").reason_texts == spec.reason_texts


def test_reason_texts_may_be_left_out_and_then_groups_too(tmp_path: Path) -> None:
    document = shipped()
    del document["attributes"]["reason_texts"]
    del document["attributes"]["features"][0]["reason_group"]
    assert read_spec(written(tmp_path, document)).reason_texts is None


def test_with_reason_texts_every_feature_has_a_group(tmp_path: Path) -> None:
    document = shipped()
    del document["attributes"]["features"][1]["reason_group"]
    with pytest.raises(LifecycleError, match=r"a reason_group for every feature, missing for \['is_weekend'\]"):
        read_spec(written(tmp_path, document))


def test_reason_groups_and_texts_must_be_the_same(tmp_path: Path) -> None:
    texts = shipped()["attributes"]["reason_texts"]["texts"]
    others = {"terminal_riks" if group == "terminal_risk" else group: text for group, text in texts.items()}
    violation = r"missing \['terminal_risk'\], without a feature \['terminal_riks'\] - at `reason_texts\.texts`"
    with pytest.raises(LifecycleError, match=violation):
        read_spec(written(tmp_path, reason_texts(texts=others)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": ""}, r"at least 1 character, got '' - at `reason_texts\.version`"),
        ({"texts": {"amount": " "}}, r"match pattern .* - at `reason_texts\.texts\.amount`"),
        ({"texts": {}}, r"at least 1 item, got a mapping of 0 - at `reason_texts\.texts`"),
        ({"wording": "x"}, r"a known key, got 'wording'; the keys are texts, version - at `reason_texts\.wording`"),
    ],
)
def test_reason_texts_that_say_nothing_are_refused(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    with pytest.raises(LifecycleError, match=expected):
        read_spec(written(tmp_path, reason_texts(**changes)))


def test_a_missing_file_and_broken_yaml_are_said(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="found no file"):
        read_spec(tmp_path / "defs.yaml")
    (tmp_path / "defs.yaml").write_text("attributes: [")
    with pytest.raises(LifecycleError, match="Expected YAML"):
        read_spec(tmp_path / "defs.yaml")


def test_an_unknown_profile_names_the_ones_there_are() -> None:
    with pytest.raises(
        LifecycleError, match=r"one of the models' profiles \['demo'\], got 'test' - at LIFECYCLE_PROFILE"
    ):
        read_model("card_fraud", "test")


def test_an_unknown_model_names_the_ones_there_are() -> None:
    with pytest.raises(LifecycleError, match=r"got 'loans'; the models are card_fraud, credit_default"):
        read_model("loans")


def test_a_profile_that_makes_the_file_invalid_is_refused(tmp_path: Path) -> None:
    document = shipped()
    document["attributes"]["profiles"] = {"demo": {"training": {"train": -1}}}
    with pytest.raises(LifecycleError, match=r"training\.train"):
        read_spec(written(tmp_path, document), "demo")


def changed(**changes: object) -> RiskModelSpec:
    return RiskModelSpec.model_validate(shipped()["attributes"] | changes)


def test_a_column_that_the_mart_lacks_is_named_with_the_columns_there_are(settings: Settings) -> None:
    spec = changed(features=[{"name": "amount"}, {"name": "amuont"}], facts=[], reason_texts=None)
    with pytest.raises(
        LifecycleError,
        match=r"'amuont' at `features\.1\.name` \(did you mean amount\?\); it has \[.*'amount'.*\] - in the file",
    ):
        check_columns(spec, dbt_projects(settings), "the file")


def test_a_mart_that_does_not_exist_is_named(settings: Settings) -> None:
    with pytest.raises(LifecycleError, match="Expected a dbt model that is described, got 'cards'"):
        check_columns(changed(examples={"mart": "cards"}), dbt_projects(settings), "the file")


def test_the_shipped_model_fits_its_mart(settings: Settings) -> None:
    spec = read_model("card_fraud")
    check_columns(spec, dbt_projects(settings), "the file")
    assert len(spec.features) >= 15


def test_the_meaning_of_every_shipped_feature_is_the_description_of_its_column(settings: Settings) -> None:
    spec = read_model("card_fraud")
    meanings = feature_descriptions(spec, dbt_projects(settings))
    assert tuple(meanings) == (*spec.feature_names, *(fact.name for fact in spec.facts))
    assert meanings["amount"] == "Amount of this transaction."
    assert all("\n" not in text for text in meanings.values())


def test_a_column_without_a_description_gives_no_meaning(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    mart: dict[str, Any] = {
        "name": "card_transaction_features",
        "columns": [{"name": "amount", "description": "An\n amount. "}],
    }
    mart["columns"] += [{"name": "is_night", "description": " "}, {"name": "other", "description": "Not a feature."}]
    (tmp_path / "models" / "mart.yml").write_text(yaml.safe_dump({"models": [mart]}))
    assert feature_descriptions(read_model("card_fraud"), [tmp_path]) == {"amount": "An amount."}
    assert feature_descriptions(changed(examples={"mart": "another"}), [tmp_path]) == {}


@pytest.mark.parametrize(
    ("clusters", "wrong"),
    [
        (["customer_id"], "customer_id"),
        (["terminal_id", "terminal_id"], "terminal_id"),
        (["occurred_at"], "occurred_at"),
    ],
)
def test_a_cluster_is_another_column_than_those_of_the_example(clusters: list[str], wrong: str) -> None:
    with pytest.raises(ValidationError, match=rf"each once, got \['{wrong}'\] - at `clusters`"):
        spec_with(examples={"arrives_in": "card_transactions", "clusters": clusters})
    assert spec_with(examples={"arrives_in": "card_transactions", "clusters": ["terminal_id"]}).examples.clusters
