"""The commands for approvals and waivers, and the commands that they stop."""

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml

from lifecycle.artefacts.candidates import Candidate
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.releases.ledger.events import candidate_trained, person
from lifecycle.settings.child_environment import user_name
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import COMPONENT, read_model
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.commands import said
from tests.harness.toy_model import SPEC
from tests.harness.toy_platform import REFUSING, evidence_of, judge, keep, without_reasons

WAIVED = REFUSING[0].gate
NEXT_YEAR = str(dt.datetime.now(dt.UTC).date() + dt.timedelta(days=365))


@pytest.fixture
def toy(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RiskModelSpec:
    """The toy model with two approvals, in a folder of models."""
    path = tmp_path / "models" / "toy" / "defs.yaml"
    path.parent.mkdir(parents=True)
    promotion = {"mode": "auto", "approvals": "two", "approval_days": 5}
    attributes = SPEC | {"name": "toy", "reason_texts": None, "promotion": promotion}
    shown = {name: value for name, value in attributes.items() if value is not None}
    path.write_text(yaml.safe_dump({"type": COMPONENT, "attributes": shown}))
    monkeypatch.setenv("LIFECYCLE_MODELS", str(path.parent.parent))
    monkeypatch.setenv("COLUMNS", "200")
    settings.root.mkdir(parents=True)
    return read_model("toy")


@pytest.fixture
def candidate(toy: RiskModelSpec, trained: Trained) -> Candidate:
    """A judged candidate that tina trained."""
    candidate = keep(Stores(), without_reasons(trained))
    Stores().ledger.append(candidate_trained("toy", candidate.digest, candidate.lineage, person("tina")))
    judge(Stores(), candidate)
    return candidate


def test_a_candidate_is_promoted_by_a_person_once_two_others_approved(toy: RiskModelSpec, candidate: Candidate) -> None:
    bundle = seal(toy, Stores(), candidate, evidence_of(candidate))
    promote = ("promote", "toy", bundle, "--reason", "better")
    short = candidate.digest[:12]
    assert f"Candidate {short} (as of 2024-02-01): it waits for approval: 0 of 2" in said(app, "releases", "toy")
    with pytest.raises(LifecycleError, match=f"Expected enough approvals of candidate {short}"):
        said(app, *promote)
    approve = ("approve", "toy", short, "--reason", "sound")
    assert f"anna approved candidate {candidate.digest} of toy until" in said(app, *approve, "--as", "anna")
    with pytest.raises(LifecycleError, match=f"Expected a person who did not train candidate {short}, Tina did"):
        said(app, *approve, "--as", "Tina")
    said(app, *approve, "--as", " Anna ")
    shown = json.loads(said(app, "approvals", "toy", "--json"))
    assert shown["policy"] == {"mode": "auto", "approvals": "two", "approval_days": 5, "approvers": "name"}
    [found] = shown["candidates"]
    assert (found["given"], found["required"], found["trainers"], found["is_trainer_known"]) == (1, 2, ["tina"], True)
    assert found["approve_with"] == f"lifecycle approve toy {short} --reason ..."
    assert [(act["name"], act["account"], act["standing"]) for act in found["approvals"]] == [
        ("Anna", user_name(), "given")
    ]
    table = said(app, "approvals", "toy")
    assert "Pending: candidate" in table
    assert f"Anna (account {user_name()})" in table
    given = json.loads(said(app, "approve", "toy", bundle[:10], "--reason", "sound", "--json"))
    assert (given["name"], given["account"], given["account_from"]) == (user_name(), user_name(), "os_user")
    assert (given["candidate_digest"], given["number"]) == (candidate.digest, 3)
    assert "release 1 is in force" in said(app, *promote)
    assert json.loads(said(app, "releases", "toy", "--json"))["waiting"] == []
    said(app, "approve", "toy", short, "--reason", "doubt", "--as", "anna", "--withdraw")
    [found] = json.loads(said(app, "approvals", "toy", "--json"))["candidates"]
    assert [act["standing"] for act in found["approvals"]] == ["withdrawn", "given"]
    assert (found["is_pending"], found["waits_for"]) == (False, None)


def test_a_waiver_by_command_is_shown_and_withdrawn(toy: RiskModelSpec, trained: Trained) -> None:
    candidate = keep(Stores(), without_reasons(trained))
    judge(Stores(), candidate, REFUSING)
    waive = ("waive", "toy", candidate.digest[:8], WAIVED, "--reason", "a pilot", "--as", "anna")
    answer = said(app, *waive, "--until", NEXT_YEAR)
    assert f"anna waived {WAIVED} of candidate {candidate.digest} of toy until {NEXT_YEAR} 00:00 UTC" in answer
    [found] = json.loads(said(app, "approvals", "toy", "--json"))["candidates"]
    assert (found["gates"], found["waits_for"]) == (f"refused by {WAIVED}", found["waits_for"])
    assert "0 of 2 given" in found["waits_for"]
    assert [(act["gate"], act["standing"]) for act in found["waivers"]] == [(WAIVED, "in force")]
    said(app, *waive, "--withdraw")
    [found] = json.loads(said(app, "approvals", "toy", "--json"))["candidates"]
    assert found["waits_for"] == f"refused by {WAIVED}; the waiver of {WAIVED} by anna is withdrawn"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("waive", "toy", "{}", "above_flor", "--until", NEXT_YEAR), "Expected the name of a gate, got 'above_flor'"),
        (("waive", "toy", "{}", "point_in_time", "--until", NEXT_YEAR), "Expected a gate that can be waived"),
        (("waive", "toy", "{}", WAIVED), "Expected the day on which the waiver ends"),
        (("waive", "toy", "{}", WAIVED, "--until", "2024-01-01"), "Expected a time after now"),
        (("waive", "toy", "{}", WAIVED, "--withdraw"), "to withdraw, found none"),
        (("approve", "toy", "{}", "--withdraw"), "to withdraw, found none"),
        (("approve", "toy", "0000abcd"), "Expected a candidate of toy with digest 0000abcd, found none"),
        (("approve", "toi", "{}"), "did you mean toy?"),
        (("approve", "toy", "{}", "--as", "a\nb"), "Expected a person's name"),
    ],
)
def test_a_command_says_what_it_lacks(candidate: Candidate, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(LifecycleError) as refused:
        said(app, *(word.format(candidate.digest) for word in words), "--reason", "r")
    assert message in str(refused.value)
    assert Stores().releases().consents.of("toy") == ()
