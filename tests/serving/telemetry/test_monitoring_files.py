"""The deployed dashboard and alerts fit what the server tells; that Prometheus takes them, tests/services shows."""

import itertools
import re

import pytest

from serving.http.errors import STATUSES
from tests.harness.metric_samples import NAMES
from tests.harness.monitoring_files import DEPLOY, dashboard, dashboard_expressions, metrics_in, panels, rules

HISTOGRAMS = ("serving_request_duration_seconds", "serving_score")
SERIES = (NAMES - set(HISTOGRAMS)) | {
    f"{name}_{part}" for name, part in itertools.product(HISTOGRAMS, ("bucket", "count", "sum"))
}


def test_the_dashboard_asks_for_metrics_that_exist_and_shows_all_of_them() -> None:
    expressions = dashboard_expressions("m")
    asked = set().union(*map(metrics_in, expressions))
    assert asked - SERIES == set()
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} == {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in SERIES
    }
    assert [expression for expression in expressions if "$" in expression] == []


def test_every_panel_has_a_title_a_unit_and_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
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
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    assert len({panel["title"] for panel in panels()}) == len(panels())


def test_the_dashboard_is_bound_to_no_installation() -> None:
    chosen = [panel["datasource"] for panel in panels()]
    chosen += [target["datasource"] for panel in panels() for target in panel["targets"]]
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in chosen)
    assert [variable["name"] for variable in dashboard()["templating"]["list"]] == ["datasource", "model"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_urgent_it_is_what_happened_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/serving.md#{str(rule['alert']).lower()}"
    assert metrics_in(str(rule["expr"])) - SERIES == set()


def test_every_alert_is_tested() -> None:
    tested = (DEPLOY / "prometheus/alerts_test.yml").read_text()
    assert [rule["alert"] for rule in rules() if f'alertname="{rule["alert"]}"' not in tested] == []


def test_errors_are_the_servers_fault_in_the_alerts_where_they_are_a_5xx() -> None:
    [expression] = [rule["expr"] for rule in rules() if rule["alert"] == "ServerErrors"]
    [pattern] = set(re.findall(r'kind=~"([^"]+)"', expression))
    [callers] = [rule["expr"] for rule in rules() if rule["alert"] == "CallerErrors"]
    assert set(re.findall(r'kind!~"([^"]+)"', callers)) == {pattern}
    kinds = {kind.__name__.removesuffix("Error"): status for kind, status in STATUSES.items()}
    found = {kind for kind in kinds if re.fullmatch(pattern, kind)}
    assert found == {kind for kind, status in kinds.items() if status >= 500}
