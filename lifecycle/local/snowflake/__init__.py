"""A local endpoint for development that the real connector and the real dbt adapter connect to.

fakesnow's server (one DuckDB behind Snowflake's protocol) with what an account has and it lacks:

- tables, stages and who made them survive the endpoint's end, also a crash; below `home`;
- logins: the user, its password or key, the role and the virtual warehouse are looked at;
- SHOW GRANTS and SHOW FUTURE GRANTS answer what the setup script grants; CURRENT_ROLE(), CURRENT_WAREHOUSE(),
  CURRENT_USER(), USE ROLE, USE WAREHOUSE, ALTER SESSION and SHOW PARAMETERS LIKE answer what the session has;
- a definition (CREATE, ALTER, DROP, ...) commits an open transaction first, a second BEGIN is ignored;
- UPDATE, DELETE, MERGE and TRUNCATE wait for the table as long as LOCK_TIMEOUT says, then fail with 000625, and the
  idle transaction of a client that went away is rolled back when others wait for it; what DuckDB calls a conflict fails
  with 000625 as well; STATEMENT_TIMEOUT_IN_SECONDS cancels with 000630;
- a request that the connector repeats under the same request id runs once;
- errors of DuckDB are answered as a statement's errors, where fakesnow's HTTP 500 would be tried again and again;
- with ``--enforce``, statements are refused that the script does not grant the session's role: reading, changing and
  making tables, views and stages (not files, rows of the information schema, and what sqlglot does not parse);
- for tests: a log of all statements, and faults on request.

What stays different from an account: privileges are shown and, without ``--enforce``, not enforced; a failed statement
ends DuckDB's transaction (an account keeps it open); DuckDB's isolation is of the whole transaction, an account's of
each statement; sums of decimals are doubles; functions that only DuckDB has are accepted. See docs/snowflake.md.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.local.ports import free_port
from lifecycle.local.snowflake.options import ACCOUNT, ADDRESS, PASSWORD, SETUP, USER, WAREHOUSE, WAREHOUSES
from lifecycle.settings.platform import PROJECT_ROOT, Settings
from lifecycle.settings.snowflake import PREFIX, STEPS

START_SECONDS = 60.0
POLL_SECONDS = 0.05

__all__ = ["LocalSnowflake", "environment", "running"]


def environment(port: int) -> dict[str, str]:
    """The ``LIFECYCLE_*`` variables that connect to the endpoint on `port`, with the setup script's roles."""
    roles = {f"ROLE_{step.upper()}": f"LIFECYCLE_{step.upper()}" for step in STEPS}
    warehouses = {f"WAREHOUSE_{step.upper()}": name for step, name in WAREHOUSES.items()}
    values = {
        "ACCOUNT": ACCOUNT,
        "USER": USER,
        "PASSWORD": PASSWORD,
        "WAREHOUSE": WAREHOUSE,
        "HOST": ADDRESS,
        "PORT": str(port),
        "PROTOCOL": "http",
        **roles,
        **warehouses,
    }
    return {"LIFECYCLE_TARGET": "snowflake"} | {PREFIX + name: value for name, value in values.items()}


class LocalSnowflake:
    """An endpoint in a process of its own."""

    def __init__(self, home: Path, port: int, arguments: tuple[str, ...] = ()) -> None:
        self.home = home
        self.port = port
        self.log = home / "statements.jsonl"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the endpoint that runs now."""
        assert self._process is not None  # noqa: S101 - asked only between start and stop
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """The ``LIFECYCLE_*`` variables that connect to it."""
        return environment(self.port)

    def settings(self, home: Path) -> Settings:
        """An installation in `home` whose warehouse is this endpoint, whatever the environment says."""
        from lifecycle.settings.snowflake import SnowflakeSettings

        own = {name.removeprefix(PREFIX).lower(): value for name, value in self.environment().items()}
        target = own.pop("lifecycle_target")
        return Settings(home=home, target=target, snowflake=SnowflakeSettings(**own))  # type: ignore[arg-type]

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises
        ------
        LifecycleError
            If it ends before it answers, or does not answer in time.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "lifecycle.local.snowflake", "--port", str(self.port),
                   "--home", str(self.home), "--log", str(self.log), "--faults", "--quiet",
                   *self._arguments]  # fmt: skip
        output = self.home / "endpoint.log"
        with output.open("ab") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file, cwd=PROJECT_ROOT)
        end = time.monotonic() + START_SECONDS
        while not is_answering(self.port):
            if self._process.poll() is not None or time.monotonic() >= end:
                said = output.read_text(errors="replace").strip()[-2000:]
                self.stop()
                raise LifecycleError(f"Expected a local endpoint on port {self.port}, got none: {said} - at {output}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does (SIGKILL); its files stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same files and the same port, after `kill` or `stop`, or when it died by itself."""
        self._end(signal.SIGKILL)
        self.start()

    def wait_until_dead(self, timeout_seconds: float = 30.0) -> None:
        """Wait for an endpoint that kills itself, by a fault."""
        if self._process is not None:
            self._process.wait(timeout_seconds)

    def fault(
        self, match: str, effect: str, *, nth: int = 1, times: int = 1, after: bool = False, seconds: float = 0.0
    ) -> None:
        """Let something go wrong at statements with `match` in them; effects are those of `faults.Effect`."""
        asked = {"match": match, "effect": effect, "nth": nth, "times": times, "after": after, "seconds": seconds}
        self._ask("POST", "/local/faults", asked)

    def clear_faults(self) -> None:
        """Let everything go well again."""
        self._ask("DELETE", "/local/faults", {})

    def expire_sessions(self, *, is_ended: bool = False) -> int:
        """Let the tokens of all sessions expire, with `is_ended` those that renew them as well; returns how many."""
        sessions: int = self._ask("POST", "/local/sessions/expire", {"is_ended": is_ended})["sessions"]
        return sessions

    def statements(self) -> list[dict[str, Any]]:
        """The statement log; see `statement_log.StatementLog` for the keys."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def _ask(self, method: str, path: str, document: dict[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://{ADDRESS}:{self.port}{path}", json.dumps(document).encode(), method=method
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        return answer

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(
    home: Path, port: int | None = None, setup: Path = SETUP, arguments: tuple[str, ...] = ()
) -> Iterator[LocalSnowflake]:
    """An endpoint for tests with its files below `home`, a statement log and faults; stopped at the end.

    Parameters
    ----------
    home
        Folder of its files; made if missing.
    port
        Where it listens on this machine; a free one if not given.
    setup
        Script whose GRANT statements it shows.
    arguments
        More of the command line, for example ``("--abandoned-seconds", "1")``.
    """
    with free_port() if port is None else nullcontext(port) as taken:
        endpoint = LocalSnowflake(home, taken, ("--setup", str(setup), *arguments))
        endpoint.start()
        try:
            yield endpoint
        finally:
            endpoint.stop()


def is_answering(port: int) -> bool:
    """Whether an endpoint on `port` is ready."""
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}:{port}/healthz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
