"""What docs/serving.md says is so: settings, metrics, routes, alerts, links, and the examples with their answers."""

import itertools
import json
import re
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from serving.process.app import create_app, needed_scope
from tests.harness.api import settings_of
from tests.harness.in_process_client import InProcessClient
from tests.harness.metric_samples import NAMES
from tests.harness.monitoring_files import rules
from tests.harness.serving_manual import MANUAL, settings_table, written_table
from tests.harness.small_models import SmallStore

TEXT = MANUAL.read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
EXAMPLES = [(block, answer) for (kind, block), (_, answer) in itertools.pairwise(BLOCKS) if "curl" in block and kind]


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
        assert link[1:] in anchors if link.startswith("#") else (MANUAL.parent / link).is_file(), link
    assert {rule["annotations"]["runbook_url"].partition("#")[2] for rule in rules()} <= anchors


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


@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=lambda block: str(block)[:60].split("\n")[0])
def test_an_example_gets_the_answer_that_is_shown(store: SmallStore, command: str, answer: str) -> None:
    path = re.findall(r"http://127\.0\.0\.1:8080(\S+)", command)[0]
    [body] = re.findall(r"-d '(.*)'", command, re.DOTALL)
    store.publish(1, can_explain=True)
    with InProcessClient(create_app(settings_of(store))) as client:
        given = client.post(path, content=body)
    assert given.status_code == 200
    assert rounded(given.json()) == rounded(json.loads(answer))


def rounded(value: Any) -> Any:
    """A document without what another version of LightGBM would change."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items() if key != "bundle_digest"}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def test_there_are_examples_of_both_protocols() -> None:
    assert len(EXAMPLES) == 2
