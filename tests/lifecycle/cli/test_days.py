import datetime as dt
import getpass

import pytest
import typer
from typer.testing import CliRunner

from lifecycle.artefacts.acknowledged_days import AcknowledgedDays
from lifecycle.assets.resources import Stores
from lifecycle.cli.days import register
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings

ARGUMENTS = ["acknowledge", "card_fraud", "2018-07-04", "--reason", "the acquirer was down"]


@pytest.fixture
def app(settings: Settings) -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_an_acknowledged_day_is_recorded_with_person_time_and_reason(app: typer.Typer, settings: Settings) -> None:
    result = CliRunner().invoke(app, ARGUMENTS)
    assert result.exit_code == 0, result.output
    (recorded,) = AcknowledgedDays(settings.evidence_dir, "card_fraud").read().values()
    assert (recorded.day, recorded.by, recorded.reason) == (dt.date(2018, 7, 4), getpass.getuser(), ARGUMENTS[-1])
    assert abs((dt.datetime.now(dt.UTC) - recorded.at).total_seconds()) < 600
    assert Stores().acknowledged_days("card_fraud") == {recorded.day}
    assert Stores().acknowledged_days("another") == frozenset()


def test_a_day_is_acknowledged_once_and_only_with_a_reason_and_for_a_model(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ARGUMENTS).exit_code == 0
    for arguments, message in (
        (ARGUMENTS, "acknowledged it at .* the acquirer was down"),
        ([*ARGUMENTS[:2], "2018-07-05", "--reason", " "], "Expected a reason"),
        (["acknowledge", "card_frau", *ARGUMENTS[2:]], "did you mean card_fraud"),
    ):
        with pytest.raises(LifecycleError, match=message):
            raise CliRunner().invoke(app, arguments).exception or AssertionError


def test_a_damaged_acknowledgement_is_an_error(app: typer.Typer, settings: Settings) -> None:
    CliRunner().invoke(app, ARGUMENTS)
    (file,) = (settings.evidence_dir / "card_fraud" / "acknowledged_days").iterdir()
    file.write_text("{}")
    with pytest.raises(LifecycleError, match="Expected an acknowledged day"):
        Stores().acknowledged_days("card_fraud")
