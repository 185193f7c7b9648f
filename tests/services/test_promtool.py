"""The files that are deployed, read by Prometheus's own tool."""

from pathlib import Path

import pytest

from lifecycle.local.exporter.collector import Exporter
from tests.harness.server_process import URL, served
from tests.harness.small_models import SmallStore, score_request
from tests.harness.verdicts import judge
from tests.services.conftest import DEPLOY, configuration, promtool


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("check", "alerts.yml"),
        ("test", "alerts_test.yml"),
        ("check", "lifecycle_alerts.yml"),
        ("test", "lifecycle_alerts_test.yml"),
    ],
)
def test_the_rules_hold(command: str, file: str) -> None:
    checked = promtool(command, "rules", str(DEPLOY / "prometheus" / file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The tests of the rules are tests: each of these changes makes one fail."""
    changes = {
        "alerts": [("> 0.005\n          and", "> 0.05\n          and"), ("serving_log_failing == 1", "1 == 2")],
        "lifecycle_alerts": [
            ("lifecycle_recall_upper_limit <", "lifecycle_recall <"),
            ("> 21 * 86400", "> 30 * 86400"),
            ("lifecycle_judged_day_timestamp_seconds > 3", "lifecycle_judged_day_timestamp_seconds > 9"),
            ('model=""', 'model="m"'),
        ],
    }
    for file, pairs in changes.items():
        rules = (DEPLOY / "prometheus" / f"{file}.yml").read_text()
        test = tmp_path / f"{file}_test.yml"
        test.write_text((DEPLOY / "prometheus" / test.name).read_text())
        for right, wrong in pairs:
            assert right in rules
            (tmp_path / f"{file}.yml").write_text(rules.replace(right, wrong))
            assert promtool("test", "rules", str(test)).returncode != 0, right


def test_the_configuration_holds(tmp_path: Path) -> None:
    checked = promtool("check", "config", str(configuration(tmp_path, ["127.0.0.1:8080"], "key", "127.0.0.1:3001")))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    checked = promtool("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_the_server_tells_is_as_prometheus_wants_it(store: SmallStore) -> None:
    store.publish(1)
    with served(store) as server:
        server.client.post(URL, json=score_request())
        server.client.post(URL, content=b"{")
        told = server.client.get("/metrics").text
    checked = promtool("check", "metrics", input=told)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_what_the_lifecycle_tells_is_as_prometheus_wants_it(store: SmallStore) -> None:
    judge(store)
    checked = promtool("check", "metrics", input=Exporter(store.settings).exposition().decode())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
