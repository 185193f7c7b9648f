"""The audit of a decision as a page in the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lifecycle.cli.release_tables import SHORT_DIGITS, kind_of
from lifecycle.console import output
from lifecycle.local.audit.checks import Check
from lifecycle.local.audit.documents import Audit, Decision, RecordAudit, ReleaseFile

Row = tuple[str, str]
_OUTCOMES = {"passed": "passed", "failed": "[bold red]FAILED[/]", "unknown": "[yellow]unknown[/]"}
_TIME = "%Y-%m-%d %H:%M:%S"


def print_audit(audit: Audit) -> None:
    """Print a table for each record of the decision, then the checks."""
    console = output()
    for record in audit.records:
        _print_record(console, audit.decision_id, record)
    _print_checks(console, "Checks of all records", audit.checks)
    failures = [check.name for check in (*audit.checks, *(c for record in audit.records for c in record.checks))
                if check.outcome == "failed"]  # fmt: skip
    if failures:
        console.print(f"[bold red]Not established:[/] {', '.join(dict.fromkeys(failures))}", soft_wrap=True)
    else:
        console.print("Nothing that was checked contradicts the records.", soft_wrap=True)


def _print_record(console: Console, decision_id: str, record: RecordAudit) -> None:
    decision = record.decision
    table = Table(title=escape(f"Decision {decision_id}: {decision.slot} of {decision.model}"), show_header=False)
    table.add_column("question", no_wrap=True)
    table.add_column("answer", overflow="fold")
    for rows in (_decision_rows(record), _model_rows(record), _release_rows(record), _proof_rows(record)):
        for name, text in rows:
            table.add_row(name, escape(text))
        table.add_section()
    console.print(table)
    _print_checks(console, "Checks", record.checks)


def _decision_rows(record: RecordAudit) -> Iterable[Row]:
    decision = record.decision
    yield "decided (UTC)", f"{decision.decided_at:{_TIME}}; the event was at {decision.occurred_at:{_TIME}}"
    if decision.error is not None:
        yield "decision", f"none, the attempt failed: {decision.error}"
    else:
        recorded = "" if decision.is_answer else " (recorded, never answered)"
        yield "decision", f"{decision.decision}{recorded}, score {decision.score}, margin {decision.margin}"
    yield "bands", _bands(decision, record.unknown)
    yield "reasons", _reasons(decision)
    for one in record.alternatives:
        result = f"{one.decision}, score {one.score}" if one.unknown is None else f"unknown: {one.unknown}"
        yield "otherwise", f"{', '.join(one.places)}, bundle {one.bundle_digest[:SHORT_DIGITS]}: {result}"
    yield "asked by", f"caller {decision.caller or 'without a name'}, trace {decision.trace_id or 'none'}"
    yield "recorded", f"{decision.segment}, byte {decision.offset}"
    if decision.values is None:
        yield "inputs", record.unknown["values"]
        return
    values = decision.values
    yield "inputs", f"transaction {values.transaction_id}, entity {values.entity_key}"
    for name, value in (values.features | values.facts).items():
        yield f"  {name}", repr(value)


def _bands(decision: Decision, unknown: dict[str, str]) -> str:
    if decision.bands is None:
        return f"unknown: {unknown['model']}"
    texts = [
        f"{name} from {value}"
        for name, value in (("review", decision.bands.review_from), ("decline", decision.bands.decline_from))
        if value is not None
    ]
    return f"{', '.join(texts) or 'none'}; otherwise approve"


def _reasons(decision: Decision) -> str:
    if decision.reasons is None:
        return "none were asked for"
    return ", ".join(f"{one.code} {one.contribution:+.3f} ({one.text})" for one in decision.reasons) or "none"


def _model_rows(record: RecordAudit) -> Iterable[Row]:
    model = record.model
    if model is None:
        yield "model", f"unknown: {record.unknown['model']}"
        return
    yield "model", f"bundle {model.bundle_digest}"
    yield "", f"candidate {model.candidate_digest}, as of {model.as_of}, seed {model.seed}"
    yield "code", model.code_commit or f"unknown: {record.unknown['code_commit']}"
    data = record.training_data
    yield "trained on", f"training set {model.training_set_digest}"
    if data is None:
        yield "", f"unknown rows: {record.unknown['training_data']}"
    else:
        erased = f", {data.rows_erased:,} of them erased since" if data.rows_erased else ""
        yield "", f"{data.rows:,} rows of [{data.first_day}, {data.end_day}), {data.reported:,} reported{erased}"
    yield (
        "gates",
        ", ".join(
            f"{one.gate} {one.outcome}{' (waived)' if one.gate in model.waived else ''}" for one in model.verdicts
        ),
    )
    texts = [f"{one.kind} by {one.by} at {one.recorded_at:{_TIME}}" for one in record.approvals]
    yield "approvals", "; ".join(texts) or record.unknown["approvals"]


def _release_rows(record: RecordAudit) -> Iterable[Row]:
    releases = record.releases
    if releases.served is None:
        yield "release", f"unknown: {record.unknown['release']}"
    else:
        yield "release", _release(releases.before, releases.served)
        yield "before it", "none" if releases.before is None else _release(None, releases.before)
        yield "after it", "none yet" if releases.after is None else _release(releases.served, releases.after)
    freeze = releases.freeze
    if freeze is not None:
        yield "freeze", f"frozen by {freeze.changed_by} since {freeze.changed_at:{_TIME}}: {freeze.reason}"
    else:
        yield "freeze", f"unknown: {record.unknown['freeze']}" if "freeze" in record.unknown else "none at that moment"


def _release(before: ReleaseFile | None, file: ReleaseFile) -> str:
    release = file.release
    kind = (
        ""
        if before is None and release.number > 1
        else f", {kind_of(None if before is None else before.release, release)}"
    )
    challengers = [
        f", {slot} {filled.bundle_digest[:SHORT_DIGITS]}"
        for slot, filled in (("canary", release.canary), ("shadow", release.shadow))
        if filled is not None
    ]
    return (
        f"{release.number}{kind} by {release.released_by} at {release.released_at:{_TIME}}: {release.reason}; champion "
        f"{release.champion.bundle_digest[:SHORT_DIGITS]}{''.join(challengers)}"
    )


def _proof_rows(record: RecordAudit) -> Iterable[Row]:
    ledger = record.ledger
    entries = ", ".join(f"{one.sequence} {one.kind} by {one.by}" for one in ledger.entries)
    yield "ledger", entries or "no record is about this model or release"
    head = "none" if ledger.records is None else f"{ledger.records} records, root {ledger.root}"
    yield "its head", head
    yield "release's head", ledger.release_head or "none"
    if record.replay is None:
        yield "replay", f"none: {record.unknown['replay']}"
        return
    for line in record.replay.lines:
        result = "same" if line.is_same else f"DIFFERS: recorded {line.recorded}, replayed {line.replayed}"
        yield f"replay {line.name}", result


def _print_checks(console: Console, title: str, checks: Sequence[Check]) -> None:
    table = Table("check", "result", "found", title=title)
    for check in checks:
        table.add_row(check.name, _OUTCOMES[check.outcome], escape(check.detail))
    console.print(table)
