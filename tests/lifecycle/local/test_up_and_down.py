"""What `lifecycle up` starts ends with it, with its terminal, and by `lifecycle down`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.local.ports import free_port
from lifecycle.local.process_identity import identity_of, left_in_group
from lifecycle.local.processes import Service, expect_free_port
from lifecycle.local.up_record import UpRecord, stop_recorded
from lifecycle.settings.platform import Settings

SUPERVISOR = """
import sys
from lifecycle.local import installation
from lifecycle.local.processes import Ports, Service
from lifecycle.settings.platform import Settings

port = int(sys.argv[1])
server = [sys.executable, "-m", "http.server", str(port), "-b", "127.0.0.1"]
# A parent that ignores SIGTERM's effect on its child, as a shell does: only its group reaches both.
parent = [sys.executable, "-c", f"import subprocess; subprocess.run({server!r})"]
installation.services = lambda *_: [Service("toy", parent, port, "/")]
installation.fail_lost_runs = lambda _: []
with installation.start_services(Settings(), Ports()) as group:
    print("up", flush=True)
    group.watch()
"""


@contextmanager
def supervisor(port: int) -> Iterator[subprocess.Popen[str]]:
    """A running `lifecycle up` with one small service."""
    command = [sys.executable, "-c", SUPERVISOR, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    with free_port() as number:
        yield number
        stop_recorded(settings.root, 5, 5)


def is_free(port: int) -> bool:
    try:
        expect_free_port(Service("toy", [], port, "/"))
    except LifecycleError:
        return False
    return True


@pytest.mark.long
def test_a_closed_terminal_stops_the_services_too(settings: Settings, port: int) -> None:
    with supervisor(port) as process:
        assert [started.name for started in UpRecord(settings.root).read()] == ["lifecycle", "toy"]
        assert not is_free(port)
        process.send_signal(signal.SIGHUP)
        process.wait(30)
    assert is_free(port)
    assert UpRecord(settings.root).read() == []


def test_down_stops_what_a_killed_supervisor_left_and_nothing_else(settings: Settings, port: int) -> None:
    with supervisor(port) as process:
        process.kill()
        process.wait(30)
    assert not is_free(port)
    with pytest.raises(LifecycleError, match=r"found toy \(\d+\); stop them with `lifecycle down`"):
        UpRecord(settings.root).begin()
    [stopped] = stop_recorded(settings.root, 10, 5)
    assert stopped.startswith("toy: process ")
    deadline = time.monotonic() + 10
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_free(port)
    assert stop_recorded(settings.root, 1, 1) == []


def test_down_stops_the_children_of_a_dead_service(settings: Settings, port: int) -> None:
    with supervisor(port) as process:
        process.kill()
        process.wait(30)
    [service] = UpRecord(settings.root).read()
    os.kill(service.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while identity_of(service.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_free(port)
    with pytest.raises(LifecycleError, match=r"found toy \(\d+\); stop them with `lifecycle down`"):
        UpRecord(settings.root).begin()
    [stopped] = stop_recorded(settings.root, 10, 5)
    assert "http.server" in stopped
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_free(port)
    assert stop_recorded(settings.root, 1, 1) == []


def test_a_group_of_another_boot_or_of_a_living_leader_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as leader:
        identity = identity_of(leader.pid)
        assert identity is not None
        assert left_in_group(leader.pid, identity) == []
    assert left_in_group(2**22 + 1, identity) == []
    assert left_in_group(2**22 + 1, "another boot:1") == []


def test_down_ends_a_running_supervisor(settings: Settings, port: int) -> None:
    with supervisor(port) as process:
        message = rf"port {port} to be free for toy, process \d+ \(.*http\.server.*\) uses it"
        with pytest.raises(LifecycleError, match=message):
            expect_free_port(Service("toy", [], port, "/"))
        assert [line.partition(":")[0] for line in stop_recorded(settings.root, 20, 5)] == ["lifecycle", "toy"]
        process.wait(30)
    assert is_free(port)


def test_a_number_that_another_process_has_now_is_left_alone(settings: Settings) -> None:
    settings.root.mkdir()
    path = settings.root / "up.json"
    path.write_text(f'[{{"name": "toy", "pid": {os.getpid()}, "identity": "another boot:1"}}]')
    assert stop_recorded(settings.root, 1, 1) == []
    path.write_text("{")
    with pytest.raises(LifecycleError, match=r"in .*up\.json"):
        UpRecord(settings.root).read()
