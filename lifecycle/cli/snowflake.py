"""`lifecycle snowflake-local`, and the output of `lifecycle warehouse check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lifecycle.console import output
from lifecycle.local.snowflake.options import DEFAULT_HOME, DEFAULT_PORT

if TYPE_CHECKING:
    from lifecycle.warehouse.file_check import FileCheck
    from lifecycle.warehouse.snowflake.access.account_check import CheckReport, StepCheck


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command("snowflake-local")(snowflake_local_command)


def snowflake_local_command(
    port: Annotated[int, typer.Option(help="Loopback port to listen on.")] = DEFAULT_PORT,
    home: Annotated[Path, typer.Option(help="Folder of the endpoint's database files.")] = DEFAULT_HOME,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the variables as JSON on standard output.")] = False,
) -> None:
    """Serve a local endpoint for development that emulates a Snowflake account, until Ctrl-C."""
    from lifecycle.local.snowflake.__main__ import serve
    from lifecycle.local.snowflake.options import Options

    serve(Options(port=port, home=home), as_json=as_json)


def print_file(check: "FileCheck") -> None:
    """Print path and state of the warehouse's file."""
    from rich.markup import escape

    state = "will be created at first use; its folder is writable"
    if check.size_bytes is not None:
        state = f"{check.size_bytes / 1e6:,.1f} MB, opened with write access"
    output().print(f"DuckDB file {escape(check.path)}: {state}.", soft_wrap=True)


def print_account(report: "CheckReport") -> None:
    """Print every step's role and grants, and each missing or excess grant with the statement that corrects it."""
    from rich.markup import escape

    console = output()
    console.print(
        f"Account {escape(report.account)}, database {escape(report.database)}, user {escape(report.user or '-')}, "
        f"version {escape(report.version or '-')}",
        soft_wrap=True,
    )
    _print_steps(console, report.steps)
    _print_held(console, report)
    for step in report.steps:
        for need in step.missing:
            object_ = f"future {need.kind.lower()}s in schema" if need.is_future else need.kind.lower()
            lacks = f"{step.step}: {step.role} lacks {need.privilege} on {object_} {need.name}"
            _print_fault(console, lacks, need.grant(step.role or ""))
        if step.error:
            _print_fault(console, f"{step.step}: {step.error}", "")
    for excess in (*(one for step in report.steps for one in step.excess), *report.excess):
        _print_fault(console, excess.what, excess.remedy)
    for note in report.notes:
        console.print(f"not checked: {escape(note)}", soft_wrap=True)
    if report.is_ready:
        console.print(
            "Every step has the grants it needs, and no other role can read protected attributes.", style="green"
        )


def _print_steps(console: Console, steps: "tuple[StepCheck, ...]") -> None:
    from rich.table import Column, Table

    table = Table(*(Column(heading, no_wrap=True) for heading in ("step", "role", "warehouse", "state")))
    for step in steps:
        faults = len(step.missing) + len(step.excess)
        state = "no login" if step.error else f"{faults} to correct" if faults else "ready"
        table.add_row(step.step, step.role or "-", step.warehouse or "-", state)
    console.print(table)


def _print_held(console: Console, report: "CheckReport") -> None:
    from rich.table import Column, Table

    table = Table(Column("role", no_wrap=True), Column("on", overflow="fold"), Column("privileges", overflow="fold"))
    inside = f"{report.database}."
    shown: set[str] = set()
    for step in report.steps:
        if not step.role or step.role in shown:
            continue
        shown.add(step.role)
        privileges: dict[str, list[str]] = {}
        for held in step.held:
            name = held.name.removeprefix(inside)
            on = f"future {held.kind.lower()}s in {name}" if held.is_future else f"{held.kind.lower()} {name}"
            privileges.setdefault(on, []).append(held.privilege)
        for row, (on, names) in enumerate(privileges.items()):
            table.add_row(
                "" if row else step.role, on, ", ".join(names).lower(), end_section=row + 1 == len(privileges)
            )
    console.print(table)


def _print_fault(console: Console, what: str, remedy: str) -> None:
    from rich.text import Text

    console.print(Text("to correct: ", "bold red") + Text(what), soft_wrap=True)
    if remedy:
        console.print(Text(f"    {remedy}"), soft_wrap=True)
