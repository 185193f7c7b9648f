import pytest
from typer.testing import CliRunner

from lifecycle.assets.resources import Stores
from lifecycle.cli import app
from lifecycle.modelling.training import Trained
from lifecycle.settings.platform import Settings
from tests.harness.toy_platform import keep


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["card_fraud", "abcd1234", "--reason", "r"], "Expected --first: this command makes a model's first release"),
        (["card_fraud", "abcd1234", "--first"], "Expected --reason TEXT"),
        (["card_fruad", "abcd1234", "--first", "--reason", "r"], "did you mean card_fraud?"),
        (["card_fraud", "--first", "--reason", "r"], "Expected either the digest of a candidate or --as-of DATE"),
        (
            ["card_fraud", "abcd1234", "--first", "--reason", "r"],
            "found none; no candidate exists yet: `lifecycle train MODEL --as-of DATE` makes one",
        ),
        (["card_fraud", "xyz", "--first", "--reason", "r"], "at least its first 4 hexadecimal digits, got 'xyz'"),
        (["card_fraud", "--as-of", "2026-01-01", "--first", "--reason", "r"], "as of 2026-01-01, found none"),
    ],
)
def test_a_first_release_says_what_it_lacks(settings: Settings, arguments: list[str], message: str) -> None:
    settings.root.mkdir()
    answer = CliRunner().invoke(app, ["release", *arguments])
    assert answer.exit_code == 1
    assert message in str(answer.exception)


def test_an_unknown_date_or_digest_names_those_that_exist(settings: Settings, trained: Trained) -> None:
    settings.root.mkdir()
    digest = keep(Stores(), trained).digest
    store = Stores().candidates("toy")
    with pytest.raises(Exception, match="there are candidates as of 2024-02-01"):
        store.current("2024-02-05")
    assert store.dates() == {digest: "2024-02-01"}
