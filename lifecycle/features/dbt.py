"""Runs dbt as a child process, because DuckDB keeps its file open while the process lives and dbt has global state."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lifecycle.errors import LifecycleError
from lifecycle.features.derived_columns import derived_variables
from lifecycle.features.nodes import DAY_COLUMN
from lifecycle.features.project import TRANSFORM, dbt_environment
from lifecycle.features.snowflake_login import without_secrets
from lifecycle.settings.child_environment import child_environment
from lifecycle.settings.platform import Settings
from lifecycle.warehouse import Use
from lifecycle.warehouse.duckdb.lock import lock_of
from serving.storage.crash_points import crash_point

COLUMNS_CHANGED = "its columns differ from those of the existing table"
FAILED_STATUSES = frozenset({"error", "fail", "runtime error"})
RESULT_EVENTS = frozenset({"LogModelResult", "LogTestResult"})
MESSAGE_EVENTS = frozenset({"RunResultError", "RunResultWarningMessage"})


@dataclass(frozen=True)
class NodeRun:
    """Result of one model or test.

    `seconds` is dbt's own execution time of the node, which ended at `ended_at` (seconds since 1970); `index` counts
    from 1 to `total` within the run.
    """

    unique_id: str
    status: str
    seconds: float
    message: str | None = None
    """dbt's error or warning, with secrets masked."""
    index: int = 0
    total: int = 0
    ended_at: float = 0.0
    event: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The line of dbt's log that reports the result; dagster-dbt turns it into Dagster's results."""

    @property
    def kind(self) -> str:
        """``model``, ``test`` or ``unit_test``."""
        return self.unique_id.partition(".")[0]

    @property
    def name(self) -> str:
        """Name of the model or test."""
        return self.unique_id.split(".")[2]

    @property
    def relation(self) -> str:
        """Schema and name of the table or view that a model builds."""
        relation = self.event["data"]["node_info"]["node_relation"]
        return f"{relation['schema']}.{relation['alias']}"

    @property
    def is_built_by_days(self) -> bool:
        """Whether a build of a range of days leaves the rows of other days as they are."""
        return bool(self.event["data"]["node_info"]["materialized"] == "incremental")

    @property
    def day_column(self) -> str:
        """Column by whose day the model is built."""
        return str(self.event["data"]["node_info"]["meta"].get("event_at", DAY_COLUMN))

    @property
    def look_back_days(self) -> int:
        """Days before the first one that a build of the model replaces, too."""
        return int(self.event["data"]["node_info"]["meta"].get("look_back_days", 0))

    @property
    def is_failed(self) -> bool:
        """Whether the node ended in an error or a failed test."""
        return self.status in FAILED_STATUSES


OnNode = Callable[[NodeRun], None]


@dataclass(frozen=True)
class DbtRun:
    """Result of one dbt command.

    `seconds` is its whole duration, of which dbt's start, parse and bookkeeping belong to no node.
    """

    exit_code: int
    seconds: float
    nodes: tuple[NodeRun, ...]
    """Models and tests in the order in which they ended; skipped ones are left out."""
    violations: tuple[str, ...]
    """Errors outside of any result, for example of the parser."""
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
    project: Path | None = None,
) -> DbtRun:
    """Run a dbt command to its end; the caller holds the warehouse lock if the command opens the warehouse.

    Parameters
    ----------
    settings
        The installation.
    arguments
        Command and options of dbt, for example ``["build", "--select", "marts"]``.
    target_path
        Folder for dbt's artifacts and its log.
    variables
        Further environment variables.
    on_node
        Called after each model and test, as it ends.
    use
        Purpose of the run; decides role, virtual warehouse and query tag in Snowflake.
    project
        Folder of the dbt project; by default the shipped one, without the packages of the folder of models.

    Raises
    ------
    LifecycleError
        If a setting of the Snowflake account is missing or wrong.
    """
    project = project or settings.dbt_project_dir
    environment = {
        **child_environment(),
        **dbt_environment(settings, target_path, use, project),
        **derived_variables(settings),
        **(variables or {}),
    }
    target_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    started = time.perf_counter()
    with _start(settings, project, arguments, environment) as process:
        try:
            nodes, violations = _read_log(process.stdout or (), environment, on_node)
        except BaseException:
            process.terminate()
            raise
    return DbtRun(process.returncode, time.perf_counter() - started, nodes, violations, target_path / "dbt.log")


def _start(
    settings: Settings, project: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    descriptor = lock_of(settings.warehouse_path).descriptor if os.name == "posix" else None
    return subprocess.Popen(
        [sys.executable, "-m", "lifecycle.features.dbt_process", "--log-format", "json", *arguments],
        cwd=project,
        # If this process is killed, dbt keeps the warehouse's file open a moment longer, and the lock with it.
        pass_fds=() if descriptor is None else (descriptor,),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _read_log(
    lines: Iterable[str], environment: Mapping[str, str], on_node: OnNode | None
) -> tuple[tuple[NodeRun, ...], tuple[str, ...]]:
    """Results of nodes and other errors from dbt's log: JSON lines, and plain text where Python itself prints."""
    nodes: list[NodeRun] = []
    messages: dict[str | None, str] = {}
    violations: list[str] = []
    for line in lines:
        try:
            event: dict[str, Any] = json.loads(line)
            info, data = event["info"], event["data"]
        except (ValueError, KeyError, TypeError):
            violations.append(without_secrets(line.strip(), environment))
            continue
        if info["name"] in RESULT_EVENTS:
            crash_point("features.node_ended")
            nodes.append(_node(event))
            if on_node is not None:
                on_node(nodes[-1])
        elif info["name"] in MESSAGE_EVENTS:
            messages[data.get("node_info", {}).get("unique_id")] = without_secrets(data["msg"], environment)
        elif info["level"] == "error":
            violations.append(without_secrets(info["msg"], environment))
    finished = tuple(replace(node, message=messages.get(node.unique_id)) for node in nodes)
    return finished, tuple(violation for violation in violations if violation)


def _node(event: Mapping[str, Any]) -> NodeRun:
    data = event["data"]
    node = data["node_info"]
    ended = node["node_finished_at"]  # empty for a unit test, whose status is not in `node` either
    return NodeRun(
        unique_id=node["unique_id"],
        status=node["node_status"] if ended else data["status"],
        seconds=float(data.get("execution_time", 0)),
        index=int(data.get("index", 0)),
        total=int(data.get("total") or data.get("num_models") or 0),
        ended_at=dt.datetime.fromisoformat(ended).replace(tzinfo=dt.UTC).timestamp() if ended else 0.0,
        event=event,
    )


def busy_seconds(nodes: Sequence[NodeRun]) -> float:
    """Time during which at least one of the nodes ran: less than their sum where some ran concurrently."""
    busy, until = 0.0, float("-inf")
    for started_at, ended_at in sorted((node.ended_at - node.seconds, node.ended_at) for node in nodes):
        busy += max(0.0, ended_at - max(started_at, until))
        until = max(until, ended_at)
    return busy


def _fault(message: str | None) -> str:
    """A node's error on one line; dbt's advice on changed columns does not apply here and is replaced."""
    if "schemas on this incremental model are out of sync" in (message or ""):
        return COLUMNS_CHANGED
    return _one_line(message)


def _one_line(text: str | None) -> str:
    return " ".join((text or "no message").split())
