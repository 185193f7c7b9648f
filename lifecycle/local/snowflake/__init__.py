"""A local Snowflake endpoint for development, which the real connector and the real dbt adapter connect to.

It runs fakesnow's server (one DuckDB behind Snowflake's protocol) and adds behaviour of an account that fakesnow lacks:

- tables, stages and their owners are stored below `home` and survive a restart or a crash;
- logins check the user, its password or key, the role and the virtual warehouse;
- SHOW GRANTS and SHOW FUTURE GRANTS return the setup script's grants; CURRENT_ROLE(), CURRENT_WAREHOUSE(),
  CURRENT_USER(), USE ROLE, USE WAREHOUSE, ALTER SESSION and SHOW PARAMETERS LIKE read and set the session's state;
- a definition (CREATE, ALTER, DROP, ...) commits an open transaction first; a second BEGIN is ignored;
- UPDATE, DELETE, MERGE and TRUNCATE wait for the table's lock up to LOCK_TIMEOUT, then fail with 000625, as DuckDB's
  conflicts do; the idle transaction of a lost client is rolled back when others wait for it;
  STATEMENT_TIMEOUT_IN_SECONDS cancels with 000630;
- a request that the connector repeats under the same request id runs once;
- DuckDB's errors are returned as the statement's errors; fakesnow's HTTP 500 would make the connector retry;
- with ``--enforce``, the endpoint rejects statements that the script does not grant to the session's role: reading,
  changing and creating tables, views and stages (not files, rows of the information schema, or statements that sqlglot
  does not parse);
- for tests: a log of all statements, and faults on request.

Differences from an account that remain: without ``--enforce``, privileges are shown but not enforced; a failed
statement ends DuckDB's transaction (an account keeps it open); DuckDB isolates whole transactions, an account isolates
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
from lifecycle.settings.child_environment import child_environment
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
    """An endpoint in its own process."""

    def __init__(self, home: Path, port: int, arguments: tuple[str, ...] = ()) -> None:
        self.home = home
        self.port = port
        self.log = home / "statements.jsonl"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running endpoint."""
        assert self._process is not None  # noqa: S101 - asked only between start and stop
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """The ``LIFECYCLE_*`` variables that connect to this endpoint."""
        return environment(self.port)

    def settings(self, home: Path) -> Settings:
        """Settings of an installation in `home` that uses this endpoint; the environment is ignored."""
        from lifecycle.settings.snowflake import SnowflakeSettings

        own = {name.removeprefix(PREFIX).lower(): value for name, value in self.environment().items()}
        target = own.pop("lifecycle_target")
        return Settings(home=home, target=target, snowflake=SnowflakeSettings(**own))  # type: ignore[arg-type]

    def start(self) -> None:
        """Start the process and wait until it responds.

        Raises
        ------
        LifecycleError
            If the process exits before it responds, or does not respond in time.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "lifecycle.local.snowflake", "--port", str(self.port),
                   "--home", str(self.home), "--log", str(self.log), "--faults", "--quiet",
                   *self._arguments]  # fmt: skip
        output = self.home / "endpoint.log"
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                command, env=child_environment(), stdout=file, stderr=file, cwd=PROJECT_ROOT
            )
        end = time.monotonic() + START_SECONDS
        while not is_answering(self.port):
            if self._process.poll() is not None or time.monotonic() >= end:
                logged = output.read_text(errors="replace").strip()[-2000:]
                self.stop()
                raise LifecycleError(
                    f"Expected a local endpoint on port {self.port}, got no response: {logged} - at {output}"
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Shut the endpoint down (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the endpoint as a crash would (SIGKILL); its files remain."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start it again on the same files and port; kills it first if it still runs."""
        self._end(signal.SIGKILL)
        self.start()

    def wait_until_dead(self, timeout_seconds: float = 30.0) -> None:
        """Wait for an endpoint that a fault kills."""
        if self._process is not None:
            self._process.wait(timeout_seconds)

    def fault(
        self, match: str, effect: str, *, nth: int = 1, times: int = 1, after: bool = False, seconds: float = 0.0
    ) -> None:
        """Inject a fault into statements that contain `match`; `faults.Effect` lists the effects."""
        asked = {"match": match, "effect": effect, "nth": nth, "times": times, "after": after, "seconds": seconds}
        self._ask("POST", "/local/faults", asked)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._ask("DELETE", "/local/faults", {})

    def expire_sessions(self, *, is_ended: bool = False) -> int:
        """Expire the tokens of all sessions, with `is_ended` their master tokens as well; returns the session count."""
        sessions: int = self._ask("POST", "/local/sessions/expire", {"is_ended": is_ended})["sessions"]
        return sessions

    def statements(self) -> list[dict[str, Any]]:
        """Lines of the statement log; `statement_log.StatementLog` describes the keys."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def _ask(self, method: str, path: str, document: dict[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://{ADDRESS}:{self.port}{path}", json.dumps(document).encode(), method=method
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        return answer

    def _end(self, signal_number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.kill(self._process.pid, signal_number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(
    home: Path, port: int | None = None, setup: Path = SETUP, arguments: tuple[str, ...] = ()
) -> Iterator[LocalSnowflake]:
    """A running endpoint for tests, with a statement log and faults; stopped at the end.

    Parameters
    ----------
    home
        Folder of its files; created if missing.
    port
        Local port that it listens on; a free one by default.
    setup
        Script whose GRANT statements it shows.
    arguments
        Further command-line arguments, for example ``("--abandoned-seconds", "1")``.
    """
    with free_port() if port is None else nullcontext(port) as reserved_port:
        endpoint = LocalSnowflake(home, reserved_port, ("--setup", str(setup), *arguments))
        endpoint.start()
        try:
            yield endpoint
        finally:
            endpoint.stop()


def is_answering(port: int) -> bool:
    """Whether an endpoint on `port` responds."""
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}:{port}/healthz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
