"""dbt as a child process: DuckDB keeps a file open for as long as its process lives, and dbt's globals are its own."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.features.project import TRANSFORM, dbt_environment
from lifecycle.features.snowflake_login import is_login_setting, without_secrets
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use
from lifecycle.warehouse.duckdb.lock import lock_of
from serving.storage.crash_points import crash_point

COLUMNS_CHANGED = "its columns are not those of the table that was built before"
FAILED_STATUSES = frozenset({"error", "fail", "runtime error"})


@dataclass(frozen=True)
class NodeRun:
    """What became of one model or test.

    `seconds` is dbt's own execution time of the node, up to `ended_at` (seconds since 1970, 0 if dbt did not say);
    `index` counts from 1 to `total` within the run.
    """

    unique_id: str
    status: str
    seconds: float
    message: str | None = None
    index: int = 0
    total: int = 0
    ended_at: float = 0.0

    @property
    def kind(self) -> str:
        """``model``, ``test`` or ``unit_test``."""
        return self.unique_id.partition(".")[0]

    @property
    def name(self) -> str:
        """Name of the model or test."""
        return self.unique_id.split(".")[2]

    @property
    def is_failed(self) -> bool:
        """Whether it ended in an error or a failed test."""
        return self.status in FAILED_STATUSES


OnNode = Callable[[NodeRun], None]


@dataclass(frozen=True)
class DbtRun:
    """One call of dbt.

    `seconds` is its whole duration; what the nodes do not account for is dbt's start, parse and bookkeeping.
    """

    exit_code: int
    seconds: float
    nodes: tuple[NodeRun, ...]
    violations: tuple[str, ...]
    """Errors outside of any node, for example of the parser."""
    log_path: Path

    @property
    def models(self) -> tuple[NodeRun, ...]:
        """Runs of models, in order."""
        return tuple(node for node in self.nodes if node.kind == "model")

    def expect_success(self, purpose: str) -> "DbtRun":
        """This run.

        Raises
        ------
        LifecycleError
            If dbt failed; names each failed model or test with dbt's message, and the log.
        """
        failed = [node for node in self.nodes if node.is_failed]
        if self.exit_code == 0 and not failed:
            return self
        faults = [f"{node.kind} {node.name}: {_fault(node.message)}" for node in failed]
        faults = faults or [_one_line(text) for text in self.violations] or [f"exit code {self.exit_code}"]
        remedy = "; run `lifecycle features build --full`" if any(COLUMNS_CHANGED in fault for fault in faults) else ""
        raise LifecycleError(f"Expected dbt {purpose}, got {'; '.join(faults)}{remedy} - see {self.log_path}")


def run_dbt(
    settings: Settings,
    arguments: Sequence[str],
    *,
    target_path: Path,
    variables: Mapping[str, str] | None = None,
    on_node: OnNode | None = None,
    use: Use = TRANSFORM,
) -> DbtRun:
    """Run dbt to its end; the caller holds the warehouse if `arguments` make dbt open it.

    Parameters
    ----------
    settings
        The installation.
    arguments
        Command and options of dbt, for example ``["build", "--select", "marts"]``.
    target_path
        Folder for dbt's artifacts and its log.
    variables
        Further variables of the environment.
    on_node
        Called after each model and test, as it ends.
    use
        What dbt is run for; decides role, virtual warehouse and query tag in Snowflake.

    Raises
    ------
    LifecycleError
        If a setting of the Snowflake account is missing or wrong.
    """
    environment = {name: value for name, value in os.environ.items() if not is_login_setting(name)}
    environment |= {**dbt_environment(settings, target_path, use), **(variables or {})}
    target_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    (target_path / "run_results.json").unlink(missing_ok=True)
    started = time.perf_counter()
    violations: list[str] = []
    with _start(settings, arguments, environment) as process:
        try:
            for line in process.stdout or ():
                _follow(line, violations, on_node)
        except BaseException:
            process.terminate()
            raise
    return DbtRun(
        exit_code=process.returncode,
        seconds=time.perf_counter() - started,
        nodes=_read_results(target_path / "run_results.json", environment),
        violations=tuple(without_secrets(violation, environment) for violation in violations),
        log_path=target_path / "dbt.log",
    )


def _start(settings: Settings, arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    descriptor = lock_of(settings.warehouse_path).descriptor if os.name == "posix" else None
    return subprocess.Popen(
        [sys.executable, "-m", "lifecycle.features.dbt_process", "--log-format", "json", *arguments],
        cwd=settings.dbt_project_dir,
        # Should this process be killed, dbt has the warehouse's file open a moment longer, and keeps the lock as long.
        pass_fds=() if descriptor is None else (descriptor,),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _follow(line: str, violations: list[str], on_node: OnNode | None) -> None:
    """Take in one line of dbt's log: JSON, or plain text where Python itself speaks."""
    try:
        event: dict[str, Any] = json.loads(line)
        info, data = event["info"], event.get("data", {})
    except (ValueError, KeyError, TypeError):
        if line.strip():
            violations.append(line.strip())
        return
    if info.get("level") == "error" and "node_info" not in data:
        violations.append(info.get("msg", ""))
    if info.get("name") in {"LogModelResult", "LogTestResult"}:
        crash_point("features.node_ended")
        if on_node is not None:
            on_node(_logged_node(data))


def _logged_node(data: Mapping[str, Any]) -> NodeRun:
    """A node as dbt's log tells its end."""
    return NodeRun(
        unique_id=data["node_info"]["unique_id"],
        status=str(data["status"]),
        seconds=float(data.get("execution_time", 0)),
        index=int(data.get("index", 0)),
        total=int(data.get("total") or data.get("num_models") or 0),
    )


def _read_results(path: Path, environment: Mapping[str, str]) -> tuple[NodeRun, ...]:
    """Nodes of dbt's `run_results.json`; none if dbt did not come so far as to write it."""
    if not path.is_file():
        return ()
    results = json.loads(path.read_text())["results"]
    return tuple(
        NodeRun(
            unique_id=result["unique_id"],
            status=result["status"],
            seconds=float(result["execution_time"]),
            message=without_secrets(result.get("message") or "", environment) or None,
            index=index,
            total=len(results),
            ended_at=max((_seconds_since_1970(part["completed_at"]) for part in result["timing"]), default=0.0),
        )
        for index, result in enumerate(results, start=1)
    )


def busy_seconds(nodes: Sequence[NodeRun]) -> float:
    """How long at least one of the nodes ran: less than their sum where some ran side by side."""
    busy, until = 0.0, float("-inf")
    for started_at, ended_at in sorted((node.ended_at - node.seconds, node.ended_at) for node in nodes):
        busy += max(0.0, ended_at - max(started_at, until))
        until = max(until, ended_at)
    return busy


def _seconds_since_1970(moment: str) -> float:
    return dt.datetime.fromisoformat(moment).timestamp()


def _fault(message: str | None) -> str:
    """What a node failed of; dbt's advice on changed columns is dbt's, not ours."""
    if "schemas on this incremental model are out of sync" in (message or ""):
        return COLUMNS_CHANGED
    return _one_line(message)


def _one_line(text: str | None) -> str:
    return " ".join((text or "no message").split())
