import math

import pytest

from serving.contract.documents import ContractError, Feature
from serving.contract.features import RowEncoder, encode
from tests.harness.small_models import EXAMPLE, SCHEMA


def test_a_request_becomes_the_row_that_training_used() -> None:
    row = list(encode(EXAMPLE, SCHEMA))
    assert row[:3] == [250.5, 1, 2.0]
    assert math.isnan(row[3])


def test_a_schema_of_plain_numbers_needs_no_copy() -> None:
    plain = (Feature(name="a", dtype="float"), Feature(name="b", dtype="int"))
    values = (1.5, 2)
    assert RowEncoder(plain).row(values) is values


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"amount": "250.5"}, r"Expected `float`, got `str` - at `\$.amount`"),
        ({"amount": True}, r"Expected `float`, got `bool` - at `\$.amount`"),
        ({"amount": None}, r"Expected `float`, got `null` - at `\$.amount`"),
        ({"amount": -0.01}, r"Expected `float` >= 0.0 - at `\$.amount`"),
        ({"is_night": 1.0}, r"Expected `int`, got `float` - at `\$.is_night`"),
        ({"is_night": 2}, r"Expected `int` <= 1 - at `\$.is_night`"),
        ({"is_night": True}, r"Expected `int`, got `bool` - at `\$.is_night`"),
        ({"kind": "planted"}, r"Expected one of the feature's categories - at `\$.kind`"),
        ({"planted": 1}, r"Expected only the features of the schema, got another one"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused_without_its_value(
    change: dict[str, float | int | str | None], violation: str
) -> None:
    with pytest.raises(ContractError, match=violation) as refused:
        encode(EXAMPLE | change, SCHEMA)
    assert "planted" not in str(refused.value)


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(ContractError, match="missing required field `kind`"):
        encode({name: value for name, value in EXAMPLE.items() if name != "kind"}, SCHEMA)


def test_a_category_without_categories_is_refused_when_the_model_loads() -> None:
    with pytest.raises(ContractError, match="at feature kind"):
        RowEncoder((Feature(name="kind", dtype="category"),))
