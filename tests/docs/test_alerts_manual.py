"""docs/alerts.md: its metrics, runbooks, settings and links are those of the program, and its command serves them."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import httpx
import pytest

from lifecycle.local.exporter.families import FAMILIES
from lifecycle.local.ports import free_port
from lifecycle.monitoring.alerts import AlertKind
from lifecycle.settings.child_environment import SETTINGS_PREFIX, child_environment
from lifecycle.settings.platform import Settings
from tests.harness.monitoring_files import rules, runbook_of
from tests.harness.paths import ROOT

MANUAL = ROOT / "docs" / "alerts.md"
TEXT = MANUAL.read_text()


def section(heading: str) -> str:
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_metric_is_explained() -> None:
    names = {f"{family.name}_total" if family.kind == "counter" else family.name for family in FAMILIES}
    assert set(re.findall(r"`(lifecycle_[a-z_]+)`", section("Metrics"))) == names


def test_the_labels_are_those_of_the_metrics() -> None:
    rows = re.findall(r"^\| (`lifecycle.*?) \| (.*?) \|", section("Metrics"), re.MULTILINE)
    told = {name: set(labels.split(", ")) - {""} for cell, labels in rows for name in re.findall(r"`(\w+)`", cell)}
    for family in FAMILIES:
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        assert set(family.labels) <= told[name], name


def test_every_kind_of_alert_and_every_rule_has_its_runbook() -> None:
    kinds = re.findall(r"^### (\w+)$", section("Runbooks of the alerts in `alerts.jsonl`"), re.MULTILINE)
    assert sorted(kinds) == sorted(get_args(AlertKind))
    told = dict(re.findall(r"^### (\w+)\n(\w+),", section("Runbooks of the rules"), re.MULTILINE))
    found = rules("lifecycle_alerts.yml")
    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in found}
    reached = anchors(TEXT)
    assert {runbook_of(rule).partition("#")[2] for rule in found} <= reached
    assert {Settings().runbook_url_of(kind).partition("#")[2] for kind in get_args(AlertKind)} <= reached


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, anchor = link.partition("#")
        text = (MANUAL.parent / file).read_text() if file else TEXT
        assert not anchor or anchor in anchors(text), link


def test_the_settings_exist() -> None:
    named = {name.removeprefix(SETTINGS_PREFIX).lower() for name in re.findall(r"`(LIFECYCLE_[A-Z_]+)`", TEXT)}
    assert named <= set(Settings.model_fields)
    assert Settings().dagster_url in TEXT


def test_the_command_serves_the_metrics_alone(settings: Settings, tmp_path: Path) -> None:
    (command,) = re.findall(r"^lifecycle (reports --port) 3001$", TEXT, re.MULTILINE)
    with free_port() as port:
        program = [str(Path(sys.executable).with_name("lifecycle")), *command.split(), str(port)]
        # SIGTERM must end it also where its parent ignores SIGTERM, which a child inherits.
        previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with subprocess.Popen(program, env=child_environment(SETTINGS_PREFIX), stdout=subprocess.DEVNULL) as process:
            signal.signal(signal.SIGTERM, previous)
            try:
                assert 'lifecycle_alerts_total{kind="drift",model=""} 0.0' in answer(f"http://127.0.0.1:{port}/metrics")
            finally:
                process.terminate()
                process.wait(timeout=60)


def answer(url: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, timeout=5).text
        except httpx.TransportError:
            if time.monotonic() > deadline:
                pytest.fail(f"Expected an answer - at {url}")
            time.sleep(0.1)
