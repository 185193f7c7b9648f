"""`training.estimator`, and the files of external models that are refused, each with what is possible."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from lifecycle.errors import LifecycleError
from lifecycle.spec.external_files import read_external
from lifecycle.spec.model_files import file_schema, read_spec
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Feature
from tests.harness.model_texts import DAMAGES as LIGHTGBM_DAMAGES
from tests.harness.small_models import NAMES, SCHEMA, booster, examples
from tests.harness.toy_model import SPEC, spec_with
from tests.harness.xgboost_models import as_json
from tests.harness.xgboost_models import booster as xgboost_booster

DIGEST = f"sha256:{'0' * 64}"
EXTERNAL: dict[str, Any] = {"file": "model.json", "training_data_digest": DIGEST, "trained_until": "2024-01-12"}
WINDOWS = {key: value for key, value in SPEC["training"].items() if key != "search"}


def file_of(folder: Path, training: dict[str, Any]) -> Path:
    path = folder / "defs.yaml"
    path.write_text(yaml.safe_dump({"type": "x", "attributes": {**SPEC, "training": training}}, sort_keys=False))
    return path


def test_lightgbm_is_the_plain_default() -> None:
    plain, said = spec_with(), spec_with(training={**SPEC["training"], "estimator": "lightgbm"})
    assert plain == said
    assert plain.model_dump()["training"]["estimator"] == "lightgbm"
    assert plain.training.is_refitted


def test_an_external_model_has_no_search_and_no_refit_and_survives_a_profile(tmp_path: Path) -> None:
    spec = read_spec(file_of(tmp_path, {**WINDOWS, "estimator": {"external": EXTERNAL}}))
    assert not spec.training.is_refitted
    assert spec.training.search is None
    profiled = spec.model_copy(update={"profiles": {"short": {"gates": {"minimum_rows": 7}}}}).with_profile("short")
    assert profiled.training == spec.training
    assert RiskModelSpec.model_validate(spec.model_dump(by_alias=True)) == spec


POSSIBLE = (
    "possible are `lightgbm`, searched and fitted here, and `external: {file, training_data_digest, trained_until}`"
)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"estimator": "catboost"}, f"Expected an estimator that this platform has, got 'catboost'; {POSSIBLE}"),
        ({"estimator": "xgboost"}, "got 'xgboost'; possible are"),
        ({"estimator": {"sklearn": "model.pkl"}}, "got the keys ['sklearn']; possible are"),
        ({"estimator": {"external": None}}, "got the keys ['external']; possible are"),
        ({"estimator": None}, "got None; possible are"),
        ({"estimator": {"external": {**EXTERNAL, "file": "../other/model.json"}}}, "Expected text to match "),
        ({"estimator": {"external": {**EXTERNAL, "file": "/etc/model.json"}}}, "Expected text to match "),
        ({"estimator": {"external": {**EXTERNAL, "training_data_digest": "abc"}}}, "Expected text to match "),
        (
            {"estimator": {"external": {**EXTERNAL, "trained_until": "soon"}}},
            "training.estimator.external.trained_until`",
        ),
        ({"estimator": {"external": {**EXTERNAL, "trained_untill": "x"}}}, "did you mean trained_until?"),
        ({"estimator": {"external": EXTERNAL}, "is_refitted": True}, "Expected is_refitted: false, got true"),
        ({"estimator": {"external": EXTERNAL}, "search": {"trials": 3}}, "Expected no search of an external model"),
        ({"search": None}, "Expected a value, got none - at `training.search`"),
        ({}, "Expected a value, got none - at `training.search`"),
    ],
)
def test_a_mistake_names_line_key_and_what_is_possible(tmp_path: Path, training: dict[str, Any], message: str) -> None:
    with pytest.raises(LifecycleError, match=re.escape(message)) as caught:
        read_spec(file_of(tmp_path, {**WINDOWS, **training}))
    assert re.search(r"at `training[a-z_.]*`, line \d+", str(caught.value))


def test_the_schema_for_editors_has_both_forms() -> None:
    schema = file_schema()
    part = {"$ref": "#/$defs/TrainingSpec", "$defs": schema["$defs"]}
    for estimator in ("lightgbm", {"external": EXTERNAL}):
        jsonschema.validate({**SPEC["training"], "estimator": estimator}, part)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SPEC["training"], "estimator": "catboost"}, part)


def lightgbm_text(**changes: Any) -> bytes:
    """A small model of LightGBM on the rows of `small_models`."""
    import lightgbm

    matrix, labels = examples()
    names, categorical = changes.pop("names", NAMES), changes.pop("categorical", ["kind"])
    if changes.get("num_class"):
        labels = labels + (matrix[:, 1] == 1)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 8, **changes}
    data: Any = lightgbm.Dataset(matrix, labels, feature_name=names, categorical_feature=categorical)
    return bytes(lightgbm.train(parameters, data, 8).model_to_string().encode())


def refused(tmp_path: Path, content: bytes, features: Any = None) -> str:
    path = tmp_path / "handed over"
    path.write_bytes(content)
    with pytest.raises(LifecycleError) as caught:
        read_external(path, features or FEATURES)
    return str(caught.value)


FEATURES = tuple(
    Feature(name=f.name, dtype=f.dtype, is_nullable=f.is_nullable, categories=f.categories) for f in SCHEMA
)
MONOTONE = SCHEMA
FEWER = tuple(
    f if f.name != "kind" else Feature(name="kind", dtype="category", categories=("online",)) for f in FEATURES
)
RENAMED = (Feature(name="sum", dtype="float"), *FEATURES[1:])
NUMBERS = tuple(Feature(name=name, dtype="float") for name in NAMES)

REFUSALS: dict[str, tuple[Callable[[], bytes], Any, str]] = {
    "pickle": (lambda: pickle.dumps({"model": 1}), FEATURES, "got a pickle, which is code and is never loaded"),
    "torch": (lambda: b"PK\x03\x04archive", FEATURES, "got a ZIP archive, as PyTorch, Keras and skops write them"),
    "ONNX": (lambda: b"\x08\x07\x12\x08skl2onnx", FEATURES, "got a protocol buffer, as ONNX is"),
    "HDF5": (lambda: b"\x89HDF\r\n", FEATURES, "got HDF5, as Keras writes it"),
    "text": (lambda: b"weights: 1 2 3", FEATURES, "Expected LightGBM's text, `save_model('model.txt')`, or XGBoost's"),
    "nothing": (lambda: b"", FEATURES, "got another file"),
    "UBJSON": (
        lambda: bytes(xgboost_booster(1).save_raw("ubj")),
        FEATURES,
        'save it with `booster.save_model("model.json")`',
    ),
    "XGBoost regression": (
        lambda: as_json(xgboost_booster(1, "reg:squarederror")),
        FEATURES,
        "got 'reg:squarederror'; possible is",
    ),
    "XGBoost classes": (
        lambda: as_json(xgboost_booster(1, "multi:softprob", num_class=3)),
        FEATURES,
        "got 'multi:softprob'; possible",
    ),
    "XGBoost features": (lambda: as_json(xgboost_booster(1)), RENAMED, "missing ['sum'], others ['amount']"),
    "XGBoost monotone": (
        lambda: as_json(xgboost_booster(1, monotone_constraints="(0,0,0,0)")),
        MONOTONE,
        "output rises with 'amount', as `monotone: 1` says",
    ),
    "LightGBM regression": (
        lambda: lightgbm_text(objective="regression"),
        FEATURES,
        "Expected the objective binary, got 'regression'",
    ),
    "LightGBM classes": (
        lambda: lightgbm_text(objective="multiclass", num_class=3),
        FEATURES,
        "objective binary, got 'multiclass num_class:3'",
    ),
    "LightGBM linear": (
        lambda: lightgbm_text(linear_tree=True, categorical=[]),
        FEATURES,
        "whose leaves are constants, got one trained with linear",
    ),
    "LightGBM unnamed": (
        lambda: lightgbm_text(names="auto", categorical=[2]),
        FEATURES,
        "got the columns of an unnamed matrix; pass `feature_name`",
    ),
    "LightGBM features": (lightgbm_text, RENAMED, "missing ['sum'], others ['amount']"),
    "LightGBM order": (lightgbm_text, (*FEATURES[1:], FEATURES[0]), "got the order ['amount', 'is_night', 'kind'"),
    "LightGBM categories": (lightgbm_text, FEWER, "codes of categories below 1 of the input 'kind', got"),
    "LightGBM numbers": (lightgbm_text, NUMBERS, "Expected thresholds at the splits on 'kind', got categories"),
    "LightGBM codes": (
        lambda: lightgbm_text(categorical=[]),
        FEATURES,
        "Expected categories at the splits on 'kind', got thresholds",
    ),
    "LightGBM monotone": (lightgbm_text, MONOTONE, "output rises with 'amount', as `monotone: 1` says"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_is_not_possible_is_refused_with_what_is(tmp_path: Path, kind: str) -> None:
    content, features, message = REFUSALS[kind]
    assert message in refused(tmp_path, content(), features)


@pytest.mark.parametrize("damage", LIGHTGBM_DAMAGES)
def test_a_damaged_text_is_refused_without_lightgbm(tmp_path: Path, damage: str) -> None:
    text = booster(1).model_to_string()
    assert "model.txt" in refused(tmp_path, LIGHTGBM_DAMAGES[damage](text).encode()) or damage == "a shorter number"


@pytest.mark.parametrize("content", [booster(1).model_to_string().encode(), as_json(xgboost_booster(1))])
def test_models_that_fit_are_read_with_their_constraints(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    assert read_external(path, SCHEMA)[0] == content


def test_the_names_of_pandas_categories_must_be_the_features_in_order(tmp_path: Path) -> None:
    import lightgbm
    import pandas

    kinds = np.array(["online", "shop", "travel"])
    table = pandas.DataFrame({"kind": pandas.Categorical(np.resize(kinds, 300), categories=list(kinds))})
    labels = (np.resize([0, 1, 1], 300) ^ (np.arange(300) % 7 == 0)).astype(float)
    text = lightgbm.train(
        {"objective": "binary", "verbosity": -1}, lightgbm.Dataset(table, labels), 3
    ).model_to_string()
    feature = Feature(name="kind", dtype="category", categories=tuple(kinds))
    path = tmp_path / "model.txt"
    path.write_text(text)
    read_external(path, (feature,))
    other = Feature(name="kind", dtype="category", categories=("shop", "online", "travel"))
    assert "got [['online', 'shop', 'travel']] - at model.txt, pandas_categorical" in refused(
        tmp_path, text.encode(), (other,)
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=r"Expected a file of the external model, got FileNotFound.*gone"):
        read_external(tmp_path / "gone", FEATURES)


def test_check_lists_an_external_file_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from lifecycle.cli import app

    folder = tmp_path / "toy"
    folder.mkdir()
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path))
    file_of(folder, {**WINDOWS, "estimator": {"external": EXTERNAL}})
    (folder / "model.json").write_bytes(as_json(xgboost_booster(1)))
    result = CliRunner().invoke(app, ["check", "--json"])
    [document] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "Expected the inputs ['amount', 'is_weekend', 'segment', 'risk'] in this order" in document["fault"]
    assert re.search(r"at `training.estimator.external.file`, line \d+", document["fault"])
