"""What a person types instead of a whole digest or the right name."""

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.releases.lookup import bundle_by_prefix, known_model
from lifecycle.spec.model_files import read_model
from tests.harness.small_models import MODEL, SmallStore


def test_a_unique_beginning_of_a_digest_names_its_bundle(store: SmallStore) -> None:
    bundles = [store.seal(seed) for seed in (1, 2, 3)]
    root = store.settings.release_store
    assert [bundle_by_prefix(root, bundle[:12].upper()) for bundle in bundles] == bundles
    assert bundle_by_prefix(root, bundles[0]) == bundles[0]


def test_an_ambiguous_a_short_or_an_unknown_beginning_is_refused(store: SmallStore) -> None:
    root = store.settings.release_store
    for tail in ("1", "2"):
        (root / "bundles" / f"abcdef{tail * 58}").mkdir(parents=True)
    with pytest.raises(LifecycleError, match=r"abcdef begins 2: abcdef1+, abcdef2+; add digits"):
        bundle_by_prefix(root, "abcdef")
    assert bundle_by_prefix(root, "abcdef2").endswith("2")
    with pytest.raises(LifecycleError, match=r"Expected a bundle with digest ffff\.\.\., found none"):
        bundle_by_prefix(root, "ffff")
    for wrong in ("abc", "xyz123", "", "a" * 65, "*" * 8):
        with pytest.raises(LifecycleError, match="at least its first 4 hexadecimal digits"):
            bundle_by_prefix(root, wrong)


def test_a_model_is_known_by_its_file_or_its_releases_and_another_name_gets_suggestions(store: SmallStore) -> None:
    root = store.settings.release_store
    assert known_model(root, MODEL) == MODEL
    (root / "releases" / "credit_cards").mkdir(parents=True)
    assert known_model(root, "credit_cards") == "credit_cards"
    with pytest.raises(LifecycleError, match=r"got 'card_fruad'; did you mean card_fraud\?"):
        known_model(root, "card_fruad")
    with pytest.raises(LifecycleError, match=r"got 'zzz'; the models are card_fraud, credit_cards"):
        known_model(root, "zzz")


def test_a_command_that_reads_a_models_file_suggests_too() -> None:
    with pytest.raises(LifecycleError, match=r"got 'card_fruad'; did you mean card_fraud\?"):
        read_model("card_fruad")
