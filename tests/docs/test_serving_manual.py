"""What docs/serving.md says is so: settings, metrics, routes, alerts, links; tests/end_to_end runs its examples."""

import json
import re

from fastapi.routing import iter_route_contexts

from lifecycle.local.processes import Ports
from lifecycle.spec.model_files import read_model
from serving.process.app import create_app, needed_scope
from tests.harness.api import settings_of
from tests.harness.metric_samples import NAMES
from tests.harness.monitoring_files import rules, runbook_of
from tests.harness.serving_manual import MANUAL, examples, python_examples, settings_table, written_table
from tests.harness.small_models import MODEL, SmallStore

TEXT = MANUAL.read_text()


def test_the_settings_are_those_of_the_server() -> None:
    assert written_table() == settings_table(), "run python -m tests.harness.serving_manual"


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"SERVING_[A-Z_]+", TEXT))
    assert named <= set(re.findall(r"SERVING_[A-Z_]+", settings_table()))


def test_every_metric_is_explained() -> None:
    table = TEXT.partition("## Metrics and dashboard")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(serving_[a-z_]+)`", table)) == NAMES


def test_every_alert_has_its_runbook() -> None:
    section = TEXT.partition("\n## Alerts")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^### (\w+)\n(\w+),", section, re.MULTILINE))
    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        assert link[1:] in anchors if link.startswith("#") else (MANUAL.parent / link.partition("#")[0]).is_file(), link
    assert {runbook_of(rule).partition("#")[2] for rule in rules()} <= anchors


def test_the_routes_have_the_scopes_that_are_told(store: SmallStore) -> None:
    app = create_app(settings_of(store))
    routes = {
        (method, context.path or "")
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or set()) - {"HEAD"}
    }
    section = TEXT.partition("## Starting it")[2].partition("\n## ")[0]
    told = {
        (method, path): scope
        for cell, scope in re.findall(r"^\| (`(?:GET|POST) .*?) \| (.+?) \|", section, re.MULTILINE)
        for method in re.findall(r"GET|POST", cell)
        for path in re.findall(r"/[\w/{}.]+", cell)
    }
    for (method, path), scope in told.items():
        assert (method, path) in routes
        expected = "score" if path.startswith("/v1/models/{model}/score") else needed_scope(method, path)
        assert scope.strip("`") == (expected or "none")
    own = {(method, path) for method, path in routes if path.startswith("/v1")}
    assert own <= set(told)


def test_there_are_examples_of_all_protocols_for_the_demonstrations_server() -> None:
    """tests/end_to_end runs them."""
    found = examples(f"http://127.0.0.1:{Ports().serving}")
    assert [path for path, _, _ in found] == [f"/v1/models/{MODEL}/score", f"/v2/models/{MODEL}/infer"]
    assert found[0][2]["decision"] == "decline"
    assert found[0][2]["reasons"]
    assert len(python_examples()) == 1
    features = [field.name for field in read_model(MODEL).request_fields]
    assert list(json.loads(found[0][1])["features"]) == features
