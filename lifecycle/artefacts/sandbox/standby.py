"""A process on standby that has imported the server and loaded its kernels; it forks servers.

Importing takes a second, and compiling three where the kernels' machine code is not installed. A process that judges
several candidates (a backtest, a run of tests) pays for that once, and while other gates judge. Each fork is a process
of its own that runs ``python -m serving`` from its first line.

It reads commands from standard input and answers on standard output, one JSON document a line. It ends as soon as its
parent has ended, with its servers and their folders.
"""

import importlib
import os
import runpy
import select
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import msgspec

from lifecycle.settings.parent_watch import WATCH_EVERY_SECONDS, end_with_parent
from serving.storage.private_files import keep_files_private

_IMPORTED = ("serving.process.app", "serving.http.listener")


class Prepare(msgspec.Struct, tag=True):
    """Load or compile what a model needs, ahead of its `Start`; not answered.

    `is_explained` adds the walk for explanations, `is_single` XGBoost's sum.
    """

    is_explained: bool
    is_single: bool


class Start(msgspec.Struct, tag=True):
    """Fork a server with these settings, whose output goes to a file of its folder; answered by `Status`."""

    folder: str
    output: str
    environment: dict[str, str]


class Look(msgspec.Struct, tag=True):
    """Ask for the `Status` of a server."""

    pid: int


class Stop(msgspec.Struct, tag=True):
    """Kill a server, with its children, and wait for its end; answered by `Status`."""

    pid: int


class Status(msgspec.Struct):
    """A server's process; `exit_status` is ``None`` while it runs, negative for a signal."""

    pid: int
    exit_status: int | None = None


Asked = Start | Look | Stop
Command = Prepare | Asked


@dataclass
class Standby:
    """The servers of this process, by process id."""

    parent: int
    folders: dict[int, str] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)

    def run(self) -> None:
        """Carry out commands until the parent closes the pipe or ends."""
        decoder = msgspec.json.Decoder(Command)
        pending = b""
        while True:
            is_orphan = os.getppid() != self.parent
            readable, _, _ = select.select([0], [], [], 0 if is_orphan else WATCH_EVERY_SECONDS)
            received = os.read(0, 1 << 16) if readable else b""
            pending += received
            *lines, pending = pending.split(b"\n")
            commands = [decoder.decode(line) for line in lines]
            if is_orphan or (readable and not received):
                self._end(commands)
                return
            for command in commands:
                if isinstance(command, Prepare):
                    _compile(is_explained=command.is_explained, is_single=command.is_single)
                else:
                    os.write(1, msgspec.json.encode(self._carry_out(command)) + b"\n")

    def _carry_out(self, command: Asked) -> Status:
        if isinstance(command, Start):
            return self._start(command)
        if isinstance(command, Stop):
            self._kill(command.pid)
        self._reap(command.pid, is_waiting=isinstance(command, Stop))
        return Status(command.pid, self.ended.get(command.pid))

    def _start(self, command: Start) -> Status:
        pid = os.fork()
        if not pid:
            _serve(command)
        self.folders[pid] = command.folder
        self.ended.pop(pid, None)  # The system gives an id again after some thousand processes.
        return Status(pid)

    def _kill(self, pid: int) -> None:
        if pid in self.folders and pid not in self.ended:
            # Before the server has its group, the process alone.
            for kill in (partial(os.killpg, pid), partial(os.kill, pid)):
                try:
                    kill(signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def _reap(self, pid: int, *, is_waiting: bool) -> None:
        if pid in self.folders and pid not in self.ended:
            found, status = os.waitpid(pid, 0 if is_waiting else os.WNOHANG)
            if found:
                self.ended[pid] = os.waitstatus_to_exitcode(status)

    def _end(self, commands: list[Command]) -> None:
        for pid, folder in self.folders.items():
            self._kill(pid)
            self._reap(pid, is_waiting=True)
            shutil.rmtree(folder, ignore_errors=True)
        for command in commands:
            if isinstance(command, Start):
                shutil.rmtree(command.folder, ignore_errors=True)


def _serve(command: Start) -> NoReturn:
    """Become the server, in the forked process."""
    status = 1
    try:
        standby = os.getppid()
        os.setsid()
        output = os.open(command.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        _become(command.environment)
        end_with_parent(standby, partial(shutil.rmtree, command.folder, ignore_errors=True))
        sys.argv = ["serving"]
        runpy.run_module("serving", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    finally:
        os._exit(status)


def _become(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _compile(*, is_explained: bool, is_single: bool) -> None:
    """Load or compile what a model needs; a second call costs nothing."""
    from serving.scoring.margin.kernel import kernel
    from serving.scoring.shap.kernel import kernel as explaining_kernel

    kernel(is_single=is_single)
    if is_explained:
        explaining_kernel()


def _prepare() -> None:
    from serving.scoring.lightgbm_library import library

    for name in _IMPORTED:
        importlib.import_module(name)
    library()
    _compile(is_explained=False, is_single=False)


def main() -> None:
    """Prepare, then carry out commands. Argument: id of the parent process."""
    keep_files_private()
    standby = Standby(int(sys.argv[1]))
    _prepare()
    standby.run()


if __name__ == "__main__":
    main()
