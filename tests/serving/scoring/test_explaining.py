"""A loaded model that explains, and bundles that must not be loaded because they could not."""

import dataclasses
import struct
from typing import Any

import msgspec
import numpy as np
import pytest

from serving.artefacts.bundle import Bundle, read_bundle
from serving.contract.documents import ContractError, GoldenRow
from serving.contract.features import Value
from serving.scoring.model import load_model
from serving.scoring.reasons import ExplainingError
from tests.harness.small_models import EXAMPLE, REASON_TEXTS, SCHEMA, SmallStore, booster, golden_rows

VALUES: tuple[Value, ...] = tuple(EXAMPLE[feature.name] for feature in SCHEMA)


@pytest.fixture
def bundle(store: SmallStore) -> Bundle:
    folder = store.settings.release_store / "bundles" / store.seal(1, can_explain=True)
    return read_bundle(folder, store.keys.public_keys)


def with_deciding(bundle: Bundle, **changes: Any) -> Bundle:
    return dataclasses.replace(bundle, deciding=msgspec.structs.replace(bundle.deciding, **changes))


def with_golden(bundle: Bundle, number: int, **changes: Any) -> Bundle:
    rows = list(bundle.golden)
    rows[number - 1] = msgspec.structs.replace(rows[number - 1], **changes)
    return dataclasses.replace(bundle, golden=tuple(rows))


def test_contributions_are_lightgbms_and_add_up_to_the_margin(bundle: Bundle) -> None:
    loaded = load_model(bundle)
    row = [[250.5, 1.0, 2.0, np.nan]]
    found = loaded.contributions(VALUES)
    assert np.abs(found - booster(1).predict(row, pred_contrib=True)[0]).max() < 1e-12
    assert abs(found.sum() - loaded.score(VALUES).margin) < 1e-12


def test_reasons_are_the_groups_sums_with_the_bundles_texts(bundle: Bundle) -> None:
    loaded = load_model(bundle)
    amount, night, kind, mean, _ = loaded.contributions(VALUES).tolist()
    sums = {"amount": amount + mean, "time": night, "kind": kind}
    expected = sorted((code for code in sums if sums[code] > 0), key=lambda code: -sums[code])
    reasons = loaded.explain(VALUES)
    assert len(reasons) >= 2
    assert [(reason.code, reason.contribution) for reason in reasons] == [(code, sums[code]) for code in expected]
    assert [reason.text for reason in reasons] == [REASON_TEXTS.texts[code] for code in expected]


def test_the_time_of_an_explanation_is_measured_while_the_model_warms_up(bundle: Bundle) -> None:
    loaded = load_model(bundle)
    assert loaded.can_explain
    assert 0 < loaded.explain_seconds < 1


def test_a_bundle_without_reason_texts_scores_and_cannot_explain(bundle: Bundle) -> None:
    older = dataclasses.replace(with_deciding(bundle, reason_texts=None), golden=tuple(golden_rows(1)))
    loaded = load_model(older)
    assert not loaded.can_explain
    assert loaded.explain_seconds == 0
    assert loaded.score(VALUES).margin == load_model(bundle).score(VALUES).margin
    with pytest.raises(ExplainingError, match="Expected reason texts, got a bundle without"):
        loaded.explain(VALUES)
    with pytest.raises(ExplainingError, match="got a bundle without"):
        loaded.contributions(VALUES)


def test_golden_contributions_are_checked_also_where_there_are_no_texts(bundle: Bundle) -> None:
    silent = with_deciding(bundle, reason_texts=None)
    assert not load_model(silent).can_explain
    with pytest.raises(ContractError, match="golden row 2"):
        load_model(with_golden(silent, 2, contributions=(0.0,) * 5))


def changed(row: GoldenRow, place: int, by: float) -> tuple[float, ...]:
    contributions = list(row.contributions or ())
    contributions[place] += by
    return tuple(contributions)


@pytest.mark.parametrize(("place", "name"), [(0, "amount"), (2, "kind"), (4, "the expected margin")])
def test_a_golden_contribution_that_comes_out_differently_is_refused(bundle: Bundle, place: int, name: str) -> None:
    row = bundle.golden[2]
    load_model(with_golden(bundle, 3, contributions=changed(row, place, 5e-10)))
    with pytest.raises(ContractError, match=rf"Expected contribution .* of {name}, got .* golden row 3"):
        load_model(with_golden(bundle, 3, contributions=changed(row, place, 2e-9)))
    with pytest.raises(ContractError, match=rf"Expected contribution nan of {name}, got .* golden row 3"):
        load_model(with_golden(bundle, 3, contributions=changed(row, place, float("nan"))))


def test_golden_contributions_of_another_number_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ContractError, match=r"Expected 5 contributions, got 4 - at .* golden row 1"):
        load_model(with_golden(bundle, 1, contributions=(0.0,) * 4))


def test_a_group_without_a_text_is_refused_at_load(bundle: Bundle) -> None:
    texts = {group: text for group, text in REASON_TEXTS.texts.items() if group != "kind"}
    with pytest.raises(ContractError, match=r"Expected a text for every reason group, got none for \['kind'\]"):
        load_model(with_deciding(bundle, reason_texts=msgspec.structs.replace(REASON_TEXTS, texts=texts)))


def test_a_feature_without_a_group_is_refused_at_load(bundle: Bundle) -> None:
    features = (msgspec.structs.replace(SCHEMA[0], reason_group=None), *SCHEMA[1:])
    with pytest.raises(ContractError, match="Expected a reason group for every feature, got none for 'amount'"):
        load_model(with_deciding(bundle, features=features))


def test_trees_that_cannot_be_explained_are_refused_where_there_are_texts(bundle: Bundle) -> None:
    text = bundle.model_text.replace(b"is_linear=0", b"is_linear=1", 1)
    linear = dataclasses.replace(bundle, files={**bundle.files, "model.txt": text})
    with pytest.raises(ContractError, match="Expected a model"):
        load_model(linear)


@pytest.mark.parametrize("values", [(), VALUES[:3], (*VALUES, 1.0), (250.5, 1, "moon", None)])
def test_a_failure_to_explain_is_one_error_and_names_no_value(bundle: Bundle, values: tuple[Value, ...]) -> None:
    with pytest.raises(ExplainingError, match=r"^Expected contributions, got [A-Za-z]+ - at bundle [0-9a-f]{64}$"):
        load_model(bundle).explain(values)


def test_explaining_leaves_the_score_its_bits(bundle: Bundle) -> None:
    loaded = load_model(bundle)
    before = loaded.score(VALUES)
    loaded.explain(VALUES)
    after = loaded.score(VALUES)
    assert struct.pack("<2d", after.margin, after.score) == struct.pack("<2d", before.margin, before.score)
