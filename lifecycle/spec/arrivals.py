"""The raw table in which a model's examples arrive: its volume and freshness say whether the input is complete."""

from collections.abc import Sequence
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.dbt_projects import dbt_projects
from lifecycle.spec.declarations import Declarations, declarations, declared_in
from lifecycle.spec.raw_table import RawRelation
from lifecycle.spec.ref_graph import ref_graph
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.spec.suggestions import suggestion

KEY = "examples.arrives_in"


def arrival_of(spec: RiskModelSpec, settings: Settings | None = None) -> RawRelation:
    """The raw table with the events of a model's examples.

    It is the table that ``examples.arrives_in`` names, or the one that the dbt model reads which it names; by default
    the one that the mart reads. Of several, the tables that refer to another one, such as reports, are left out, and
    then those without the mart's key.

    Raises
    ------
    LifecycleError
        If there is not exactly one, with the tables found.
    """
    settings = settings or Settings()
    return arrival_in(spec, dbt_projects(settings), declarations(settings))


def arrival_in(spec: RiskModelSpec, projects: Sequence[Path], declared: Declarations | None = None) -> RawRelation:
    """As `arrival_of`, for given dbt projects."""
    declared = declared or declared_in(projects)
    named, graph = spec.examples.arrives_in, ref_graph(projects)
    if named and named in declared.tables:
        return _with_events(declared.tables[named])
    if named and (own := declared.fault_of(named)):
        raise LifecycleError(f"Expected a raw table whose declaration is right, got {own} - at `{KEY}`")
    if named and named not in graph.models:
        near = suggestion(named, [*declared.tables, *graph.models], "raw table or dbt model")
        raise LifecycleError(f"Expected a raw table or a dbt model, got {named!r}{near} - at `{KEY}`")
    found = [declared.tables[name] for name in graph.tables_of(named or spec.mart) if name in declared.tables]
    events = [table for table in found if table.event_at]
    candidates = [table for table in events if not table.refers_to] or events
    if len(candidates) > 1:
        candidates = [table for table in candidates if table.key == spec.columns.id] or candidates
    if len(candidates) == 1:
        return candidates[0]
    names = sorted(table.name for table in candidates or found)
    got = ", ".join(names) if names else "none"
    read = graph.tables_of(named or spec.mart)
    left_out = "".join(f". Left out: {fault.message}" for fault in declared.faulty if fault.table in read)
    raise LifecycleError(
        f"Expected one raw table with event_at that {named or spec.mart} reads, got {got}; name the table in which the "
        f"examples arrive - at `{KEY}`{left_out}"
    )


def _with_events(table: RawRelation) -> RawRelation:
    if table.event_at is None:
        raise LifecycleError(f"Expected a raw table with event_at, got {table.name}, which has none - at `{KEY}`")
    return table
