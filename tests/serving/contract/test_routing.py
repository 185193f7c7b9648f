import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract.routing import CanaryShare, position

salts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
percents = st.floats(0, 100)
ENTITIES = [f"customer-{number}" for number in range(20_000)]


@given(salt=salts, key=keys, percent=percents)
def test_an_entity_keeps_its_slot(salt: str, key: str, percent: float) -> None:
    assert CanaryShare(percent, salt).holds(key) == CanaryShare(percent, salt).holds(key)
    assert 0 <= position(salt, key) < 1


@given(salt=salts, key=keys, lower=percents, higher=percents)
def test_raising_the_percent_only_adds_entities(salt: str, key: str, lower: float, higher: float) -> None:
    lower, higher = sorted((lower, higher))
    assert CanaryShare(higher, salt).holds(key) or not CanaryShare(lower, salt).holds(key)


@given(salt=salts, key=keys)
def test_nobody_at_none_and_everybody_at_all(salt: str, key: str) -> None:
    assert not CanaryShare(0, salt).holds(key)
    assert CanaryShare(100, salt).holds(key)


@given(salt=salts, key=keys)
def test_the_position_can_be_computed_again_as_documented(salt: str, key: str) -> None:
    hashed = hashlib.blake2b(key.encode("utf-8"), key=salt.encode("utf-8"), digest_size=8).digest()
    assert position(salt, key) == (int.from_bytes(hashed, "big") >> 11) / 2**53


def within(observed: int, trials: int, probability: float) -> bool:
    """Whether a count lies within five standard errors; a fair coin would fail this once in two million times."""
    return abs(observed - trials * probability) <= 5 * math.sqrt(trials * probability * (1 - probability)) + 1


@pytest.mark.parametrize("percent", [0.5, 5, 20, 50, 99])
@pytest.mark.parametrize("salt", ["a", "b", "0123456789abcdef0123456789abcdef"])
def test_the_share_is_the_percent(percent: float, salt: str) -> None:
    held = sum(CanaryShare(percent, salt).holds(entity) for entity in ENTITIES)
    assert within(held, len(ENTITIES), percent / 100)


def test_positions_are_uniform() -> None:
    counts = [0] * 20
    for entity in ENTITIES:
        counts[int(position("salt", entity) * 20)] += 1
    expected = len(ENTITIES) / 20
    chi_squared = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_squared < 43.8, "0.999 quantile of the chi-squared distribution with 19 degrees of freedom"


def test_another_salt_chooses_independently() -> None:
    one, other = CanaryShare(20, "one"), CanaryShare(20, "other")
    both = sum(one.holds(entity) and other.holds(entity) for entity in ENTITIES)
    assert within(both, len(ENTITIES), 0.2 * 0.2)
