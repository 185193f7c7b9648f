"""What the deployed dashboards and alerts ask, read from their files."""

import json
import re
from typing import Any

import yaml

from tests.harness.paths import ROOT

DEPLOY = ROOT / "deploy"
RUNBOOK_BASE = "{{ $externalLabels.runbook_base }}"

_VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}


def dashboard(name: str = "serving") -> dict[str, Any]:
    """A dashboard of Grafana: ``serving`` or ``lifecycle``."""
    document: dict[str, Any] = json.loads((DEPLOY / f"grafana/{name}.json").read_text())
    return document


def panels(name: str = "serving") -> list[dict[str, Any]]:
    """A dashboard's panels, rows left out."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def dashboard_expressions(model: str, name: str = "serving") -> list[str]:
    """Every PromQL expression of a dashboard, as Grafana sends it with this model chosen."""
    found = [target["expr"] for panel in panels(name) for target in panel["targets"]]
    found += [each["expr"] for each in dashboard(name)["annotations"]["list"] if "expr" in each]
    return [_filled(expression, model) for expression in found]


def rules(file: str = "alerts.yml") -> list[dict[str, Any]]:
    """Every alert of a file."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def runbook_of(rule: dict[str, Any]) -> str:
    """Path and anchor of a rule's runbook; fails unless an external label can make it absolute."""
    url = str(rule["annotations"]["runbook_url"])
    assert url.startswith(RUNBOOK_BASE), url
    return url.removeprefix(RUNBOOK_BASE)


def metrics_in(expression: str) -> set[str]:
    """The metrics of the server and of the lifecycle that a PromQL expression names."""
    return set(re.findall(r"\b(?:serving|lifecycle)_[a-z_]+", expression))


def _filled(expression: str, model: str) -> str:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression.replace("$model", model)
