"""What the deployed dashboard and alerts ask, read from their files."""

import json
import re
from typing import Any

import yaml

from tests.harness.paths import ROOT

DEPLOY = ROOT / "deploy"

_VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}


def dashboard() -> dict[str, Any]:
    """Grafana's dashboard."""
    document: dict[str, Any] = json.loads((DEPLOY / "grafana/serving.json").read_text())
    return document


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, rows left out."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_expressions(model: str) -> list[str]:
    """Every PromQL expression of the dashboard, as Grafana sends it with this model chosen."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [each["expr"] for each in dashboard()["annotations"]["list"] if "expr" in each]
    return [_filled(expression, model) for expression in found]


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The server's metrics that a PromQL expression names."""
    return set(re.findall(r"\bserving_[a-z_]+", expression))


def _filled(expression: str, model: str) -> str:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression.replace("$model", model)
