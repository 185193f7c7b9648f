"""The deployed dashboards and alerts fit what the server and the lifecycle tell.

That Prometheus takes them, tests/services shows.
"""

import itertools
import re

import pytest

from lifecycle.local.exporter.families import FAMILIES
from serving.http.errors import STATUSES
from tests.harness.metric_samples import NAMES
from tests.harness.monitoring_files import (
    DEPLOY,
    dashboard,
    dashboard_expressions,
    metrics_in,
    panels,
    rules,
    runbook_of,
)

HISTOGRAMS = ("serving_request_duration_seconds", "serving_score")
SERIES = (NAMES - set(HISTOGRAMS)) | {
    f"{name}_{part}" for name, part in itertools.product(HISTOGRAMS, ("bucket", "count", "sum"))
}


LIFECYCLE_SERIES = {f"{family.name}_total" if family.kind == "counter" else family.name for family in FAMILIES}
DASHBOARDS = {"serving": SERIES, "lifecycle": LIFECYCLE_SERIES}
ALERTS = {"alerts": SERIES, "lifecycle_alerts": LIFECYCLE_SERIES}
RUNBOOKS = {"alerts": "docs/serving.md", "lifecycle_alerts": "docs/alerts.md"}
RULES = [(file, rule) for file in ALERTS for rule in rules(f"{file}.yml")]
each_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


@each_dashboard
def test_the_dashboard_asks_for_metrics_that_exist_and_shows_all_of_them(name: str) -> None:
    expressions, series = dashboard_expressions("m", name), DASHBOARDS[name]
    asked = set().union(*map(metrics_in, expressions))
    assert asked - series == set()
    assert {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in asked} == {
        re.sub(r"_(bucket|count|sum)$", "", metric) for metric in series
    }
    assert [expression for expression in expressions if "$" in expression] == []


@each_dashboard
def test_every_panel_has_a_title_a_unit_and_a_place_of_its_own(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(name)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
        assert panel["title"]
    assert len({panel["id"] for panel in dashboard(name)["panels"]}) == len(dashboard(name)["panels"])
    assert len({panel["title"] for panel in panels(name)}) == len(panels(name))
    plain = [panel for panel in panels(name) if panel["type"] in {"stat", "timeseries"}]
    assert [panel["title"] for panel in plain if not panel["fieldConfig"]["defaults"].get("unit")] == []


@each_dashboard
def test_the_dashboard_is_bound_to_no_installation(name: str) -> None:
    chosen = [panel["datasource"] for panel in panels(name)]
    chosen += [target["datasource"] for panel in panels(name) for target in panel["targets"]]
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in chosen)
    assert [variable["name"] for variable in dashboard(name)["templating"]["list"]] == ["datasource", "model"]


@pytest.mark.parametrize(("file", "rule"), RULES, ids=[str(rule["alert"]) for _, rule in RULES])
def test_an_alert_says_how_urgent_it_is_what_happened_and_what_to_do(
    file: str, rule: dict[str, dict[str, str]]
) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action", "runbook_url"}
    assert runbook_of(rule) == f"{RUNBOOKS[file]}#{str(rule['alert']).lower()}"
    assert metrics_in(str(rule["expr"])) - ALERTS[file] == set()


@pytest.mark.parametrize("file", ALERTS)
def test_every_alert_is_tested(file: str) -> None:
    tested = (DEPLOY / f"prometheus/{file}_test.yml").read_text()
    assert [rule["alert"] for rule in rules(f"{file}.yml") if f'alertname="{rule["alert"]}"' not in tested] == []


def test_errors_are_the_servers_fault_in_the_alerts_where_they_are_a_5xx() -> None:
    [expression] = [rule["expr"] for rule in rules() if rule["alert"] == "ServerErrors"]
    [pattern] = set(re.findall(r'kind=~"([^"]+)"', expression))
    [callers] = [rule["expr"] for rule in rules() if rule["alert"] == "CallerErrors"]
    assert set(re.findall(r'kind!~"([^"]+)"', callers)) == {pattern}
    kinds = {kind.__name__.removesuffix("Error"): status for kind, status in STATUSES.items()}
    found = {kind for kind in kinds if re.fullmatch(pattern, kind)}
    assert found == {kind for kind, status in kinds.items() if status >= 500}
