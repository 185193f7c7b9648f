"""The demonstration's own parts: its days, its state, its processes."""

import datetime as dt
import socket
import sys
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.demo.state import StateFile, timeline_of
from lifecycle.local.demo.timeline import LONGEST_WINDOW_DAYS, days_of, timeline
from lifecycle.local.ports import free_port
from lifecycle.local.processes import Ports, Running, Service, expect_free_port, services
from lifecycle.modelling.splits import longest_span_days
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import read_model

SPEC = read_model("card_fraud", "demo")


@pytest.mark.long
def test_the_demonstrations_days_lie_in_the_past_and_hold_the_first_training() -> None:
    today = dt.date(2026, 11, 20)
    days = timeline(SPEC, today)
    assert days.first_day < days.live_start < days.change_day < days.end_day < today
    maturity_days = SPEC.label.maturity_days
    needed = longest_span_days(SPEC.training, maturity_days)
    assert (days.live_start - days.first_day).days == needed + LONGEST_WINDOW_DAYS


def test_the_weekdays_are_the_same_whenever_the_demonstration_is_started() -> None:
    starts = [dt.date(2026, 11, 20) + dt.timedelta(days=offset) for offset in range(14)]
    assert {timeline(SPEC, start).end_day.weekday() for start in starts} == {2}
    assert all((start - timeline(SPEC, start).end_day).days >= 2 for start in starts)


def test_the_days_keep_their_anchor_from_the_first_start(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    first = file.open(7, dt.date(2026, 11, 20), "duckdb")
    first.done.append("history")
    file.keep(first)
    second = file.open(8, dt.date(2026, 12, 24), "duckdb")
    assert second == first
    assert timeline_of(second, SPEC) == timeline(SPEC, dt.date(2026, 11, 20))


def test_a_state_that_cannot_be_read_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(LifecycleError, match=r"in .*demo\.json"):
        StateFile(tmp_path).open(7, dt.date(2026, 11, 20), "duckdb")


def test_days_of_is_half_open() -> None:
    assert days_of(dt.date(2018, 1, 1), dt.date(2018, 1, 3)) == [dt.date(2018, 1, 1), dt.date(2018, 1, 2)]


def test_a_busy_port_names_the_service_and_the_option() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(LifecycleError, match=f"port {port} to be free for mlflow.*--mlflow-port"):
            expect_free_port(Service("mlflow", [], port, "/"))


def test_a_service_that_ends_is_told_with_its_last_lines(tmp_path: Path) -> None:
    group = Running(tmp_path)
    code = "print('no such thing'); raise SystemExit(3)"
    with free_port() as port:
        group.start(Service("broken", [sys.executable, "-c", code], port, "/"))
        try:
            told = r"broken to run, it ended with status 3 - see .*broken\.log\nno such thing"
            with pytest.raises(LifecycleError, match=told):
                group.wait_until_ready(timeout_seconds=20)
        finally:
            group.stop()


@pytest.mark.long
def test_stopping_reaches_the_children_of_what_was_started(tmp_path: Path) -> None:
    group = Running(tmp_path)
    with free_port() as port:
        server = f"[sys.executable, '-m', 'http.server', '{port}', '-b', '127.0.0.1']"
        code = f"import subprocess, sys; subprocess.run({server})"
        service = Service("parent", [sys.executable, "-c", code], port, "/")
        group.start(service)
        group.wait_until_ready(timeout_seconds=20)
        group.stop()
        expect_free_port(service)


def test_the_server_is_told_the_public_key_and_never_the_signing_key(settings: Settings) -> None:
    server = next(service for service in services(settings, Ports()) if service.name == "serving")
    assert server.environment["SERVING_PUBLIC_KEY"].endswith("public_key.pem")
    assert not any("signing" in value for value in server.environment.values())
