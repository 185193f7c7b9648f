"""Writes, shows and alerts on each day's accounts: refused requests, losses of the log, unmatched decisions."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from lifecycle.assets.partitions import as_of_after
from lifecycle.assets.resources import Stores
from lifecycle.gates.champion import champion_for
from lifecycle.monitoring.accounts import (
    DayOfDecisions,
    RefusalKind,
    day_of_requests,
    loss_findings,
    matching_findings,
    refusal_findings,
    unaccounted_alert,
)
from lifecycle.releases.alert_log import raise_alert, raised_keys
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.warehouse import Warehouse
from lifecycle.warehouse.reading.decisions import LoadedDecisions, daily_decisions
from lifecycle.warehouse.reading.refusals import daily_refusals

EARLIER_DAYS = 7
"""Days before, a whole week, that a day's share of refusals is compared with."""


def account_for_requests(
    spec: RiskModelSpec,
    context: dg.AssetExecutionContext,
    stores: Stores,
    warehouse: Warehouse,
    days: Sequence[dt.date],
    loaded: LoadedDecisions,
) -> Iterator[tuple[dt.date, dict[str, Any]]]:
    """Metadata of each day's requests, decided and refused; writes them, and alerts on what nothing judges."""
    start, end = days[0] - dt.timedelta(days=EARLIER_DAYS), as_of_after(days[-1])
    decided = daily_decisions(warehouse, spec.name, start, end)
    refused = daily_refusals(warehouse, spec.name, start, end)
    history = stores.releases().history(spec.name)
    for day in days:
        today, decisions = refused.get(day, {}), decided.get(day, 0)
        earlier = [day - dt.timedelta(days=offset) for offset in range(1, EARLIER_DAYS + 1)]
        before: Counter[RefusalKind] = Counter()
        for date in earlier:
            before.update(refused.get(date, {}))
        findings = refusal_findings(today, decisions, before, sum(decided.get(date, 0) for date in earlier))
        if decisions and champion_for(history, as_of_after(day).isoformat()) is None:
            findings.append(f"there were {decisions} decisions and no champion to judge them by")
        if day == days[-1]:
            findings += loss_findings(loaded.losses)
        alert_on(spec, context, stores, day, findings)
        stores.evidence(spec.name).write_requests(day_of_requests(day, decisions, today))
        yield day, {"dagster/row_count": decisions, "refused": sum(today.values()), "refusals": _table(today)}


def alert_on(
    spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores, day: dt.date, findings: Sequence[str]
) -> None:
    """Raise the alert of a day with findings."""
    settings, now = stores.settings, dt.datetime.now(dt.UTC)
    alert = unaccounted_alert(spec.name, day, findings, raised_keys(settings.root), context.run.run_id, now)
    if alert is not None:
        raise_alert(settings, alert)


def account_for_decisions(
    spec: RiskModelSpec, context: dg.AssetExecutionContext, stores: Stores, account: DayOfDecisions
) -> dict[str, Any]:
    """Metadata of one day's matched and unmatched decisions; writes them, and alerts on what monitoring cannot use."""
    alert_on(spec, context, stores, account.day, matching_findings(account))
    stores.evidence(spec.name).write_matching(account)
    return {
        "decisions": account.decisions,
        "unmatched_decisions": account.unmatched,
        "repeated_transactions": account.repeated,
        "failed_requests": account.failed,
        "transactions": account.transactions,
        "undecided_transactions": account.undecided,
    }


def _table(refused: Mapping[RefusalKind, int]) -> dg.MarkdownMetadataValue:
    rows = [f"| {each.kind} | {each.feature or ''} | {each.fault or ''} | {refused[each]} |" for each in refused]
    return dg.MetadataValue.md("\n".join(["| kind | feature | fault | requests |", "|---|---|---|---:|", *rows]))
