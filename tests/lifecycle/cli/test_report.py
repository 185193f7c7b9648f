"""`lifecycle report validation` on the toy model: what it says is what was kept, and whatever is missing is named."""

import dataclasses
import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from lifecycle.artefacts.candidates import Candidate, spec_file, training_files
from lifecycle.artefacts.training_sets import Selection
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Stores
from lifecycle.assets.validation import judge_candidate
from lifecycle.cli import app
from lifecycle.errors import LifecycleError
from lifecycle.gates.candidate_gates import GATES
from lifecycle.modelling.evaluation import evaluate, reviewed_by
from lifecycle.modelling.splits import snapshot_days
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import holdout, predict
from lifecycle.releases.consents import Person
from lifecycle.releases.ledger.events import gates_judged, run_actor
from lifecycle.settings.platform import Settings
from lifecycle.spec.model_files import COMPONENT, model_names, read_model
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Lineage, Verdict
from tests.harness.commands import said
from tests.harness.page_structure import INJECTION, Structure
from tests.harness.toy_home import SHORT
from tests.harness.toy_model import SPEC
from tests.harness.toy_platform import PASSING, REFUSING, evidence_of, judge, without_reasons

EARLIER, LATER = dt.date(2024, 1, 18), dt.date(2024, 1, 20)
THIN = Verdict.of(GATES[4], "INCONCLUSIVE", "not clearly above the baseline's", {}, {})
ALLOWED_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "table", "thead", "tbody", "tr", "th",
    "td", "div", "ul", "li", "code", "img", "a", "span", "strong",
}  # fmt: skip


def attributes(**overrides: Any) -> dict[str, Any]:
    return {name: value for name, value in (SPEC | SHORT | overrides).items() if value is not None}


@pytest.fixture(scope="module")
def models(table: pa.Table, examples: Examples) -> dict[dt.date, Trained]:
    """The toy model with short windows at two dates."""
    spec = RiskModelSpec.model_validate(attributes())
    return {date: without_reasons(train(spec, examples, date)) for date in (EARLIER, LATER)}


@pytest.fixture
def toy(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RiskModelSpec:
    """The toy model's file in a folder of models."""
    monkeypatch.setenv("LIFECYCLE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COLUMNS", "300")
    # Or the first command would close the files of the others, and say so.
    os.umask(0o077)
    settings.root.mkdir(parents=True)
    return rewrite(tmp_path)


def rewrite(folder: Path, **overrides: Any) -> RiskModelSpec:
    path = folder / "models" / "toy" / "defs.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"type": COMPONENT, "attributes": attributes(**overrides)}))
    return read_model("toy")


def kept(spec: RiskModelSpec, table: pa.Table, trained: Trained, as_of: dt.date) -> Candidate:
    """A candidate as a training keeps it, with its training set and its model's file."""
    stores = Stores()
    start, end = snapshot_days(as_of, spec.training, spec.label.maturity_days)
    days = table["occurred_at"].cast(pa.date32())
    rows = table.filter(pc.and_(pc.greater_equal(days, start), pc.less(days, end))).sort_by("occurred_at")
    reported = rows["reported_at"]
    known = pc.if_else(pc.less(reported, dt.datetime.combine(as_of, dt.time())), reported, None)
    rows = rows.set_column(rows.schema.get_field_index("reported_at"), "reported_at", known)
    names = ["transaction_id", "customer_id", "occurred_at", *spec.feature_names, "reported_at"]
    frozen = stores.training_sets("toy").write(rows.select(names).to_batches(), spec, Selection(as_of, start, end))
    lineage = Lineage(
        as_of=as_of.isoformat(),
        training_set_digest=frozen.description.digest,
        code_commit="0123abcd",
        parameters=dict(trained.parameters),
        seed=trained.seed,
        library_versions={},
    )
    files = training_files(trained) | spec_file(spec)
    return stores.candidates("toy").write(trained.model_text, trained.deciding, trained.golden, lineage, files)


def gated(spec: RiskModelSpec, candidate: Candidate) -> tuple[Verdict, ...]:
    """The verdicts of the real gates, recorded as a run does."""
    stores = Stores()
    evidence = judge_candidate(spec, stores, candidate)
    stores.ledger.append(gates_judged(evidence, run_actor("run"), is_backtest=False))
    stores.evidence("toy").write_gates(evidence)
    return evidence.verdicts


def document(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(app, "report", "validation", "toy", *words, "--json"))
    return found


def points(found: dict[str, Any]) -> dict[str, bool]:
    return {point["text"]: point["is_blocking"] for point in found["open_points"]}


def test_a_first_candidate_is_reported_with_its_holdout_and_every_gate(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained], tmp_path: Path
) -> None:
    candidate = kept(toy, table, models[EARLIER], EARLIER)
    verdicts = {verdict.gate: verdict for verdict in gated(toy, candidate)}
    found = document("--html", str(tmp_path / "report.html"))
    subject = found["subject"]
    assert (subject["candidate_digest"], subject["as_of"], subject["code_commit"], subject["owner"]) == (
        candidate.digest, "2024-01-18", "0123abcd", None,
    )  # fmt: skip
    assert [line["gate"] for line in found["gates"]] == list(GATES)
    for line in found["gates"]:
        verdict = verdicts[line["gate"]]
        assert (line["outcome"], line["summary"]) == (verdict.outcome, verdict.summary)
        assert line["observed"] == json.loads(msgspec.json.encode(verdict.observed))
    assert found["champion"]["paired"] is None
    assert "There was no champion when the candidate was judged" in found["champion"]["statement"]
    metric = models[EARLIER].evaluation.metrics["roc_auc"]
    assert found["holdout"]["metrics"]["roc_auc"] == dataclasses.asdict(metric)
    assert {"the model has no owner", "intended use and limits are not stated"} <= points(found).keys()
    page = Structure((tmp_path / "report.html").read_text())
    text = "|".join(page.text)
    for verdict in verdicts.values():
        assert f"|{verdict.gate}|" in text
        assert verdict.summary in text
    assert f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]" in text
    assert candidate.lineage.training_set_digest in text
    assert set(page.tags) <= ALLOWED_TAGS
    assert all(uri.startswith("data:image/png;base64,") for uri in page.values["src"])
    assert {"calibration", "roc", "importance", "difference with its limit"} <= set(page.values["alt"])
    assert {link.removeprefix("#") for link in page.values["href"]} <= set(page.values["id"])


def test_a_challenger_stands_beside_the_champion_on_rows_that_neither_saw(
    toy: RiskModelSpec, table: pa.Table, examples: Examples, models: dict[dt.date, Trained], tmp_path: Path
) -> None:
    champion = kept(toy, table, models[EARLIER], EARLIER)
    Stores().releases().publish("toy", seal(toy, Stores(), champion, judge(Stores(), champion)), by="a", reason="b")
    challenger = kept(toy, table, models[LATER], LATER)
    verdicts = {verdict.gate: verdict for verdict in gated(toy, challenger)}
    found = document("--html", str(tmp_path / "report.html"))
    beside, judged = found["champion"], verdicts["not_worse_than_champion"].observed
    paired = beside["paired"]
    assert (found["subject"]["as_of"], beside["candidate_digest"]) == ("2024-01-20", champion.digest)
    assert judged["champion"] == champion.digest
    for name, key in (("start", "unseen_start"), ("end", "unseen_end"), ("rows", "rows"), ("positives", "positives")):
        assert paired[name] == judged[key]
    assert paired["difference"][toy.gates.metric]["value"] == pytest.approx(judged["difference"])
    outcomes, features = holdout(toy, examples, LATER)
    rows = np.flatnonzero(outcomes.occurred_at >= np.datetime64(paired["start"]))
    scored = predict(champion.model_text, champion.deciding.calibration, features[rows])
    expected = evaluate(outcomes.rows(rows), scored, reviewed_by(toy.decision)).metrics["roc_auc"]
    assert paired["second"]["metrics"]["roc_auc"] == pytest.approx(dataclasses.asdict(expected))
    text = "|".join(Structure((tmp_path / "report.html").read_text()).text)
    assert f"champion {champion.digest[:12]} as of 2024-01-18" in text
    assert "challenger and champion" in (tmp_path / "report.html").read_text()
    printed = said(app, "report", "validation", "toy", challenger.digest[:10])
    assert f"lifecycle report validation toy {challenger.digest[:12]} --html FILE" in printed
    assert all(gate in printed for gate in GATES)
    assert document("--as-of", "2024-01-18")["champion"]["statement"].startswith("The candidate is the champion itself")
    shutil.rmtree(Stores().settings.training_sets_dir)
    left = document(challenger.digest)
    assert (left["champion"]["is_missed"], left["champion"]["paired"]) == (True, None)
    assert points(left)[left["champion"]["statement"]] is False
    assert "is not compared: Expected the training set" in left["champion"]["statement"]


def test_failed_and_inconclusive_gates_are_open_until_a_person_waives_them(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained]
) -> None:
    candidate = kept(toy, table, models[EARLIER], EARLIER)
    judge(Stores(), candidate, (*REFUSING[:4], THIN, *REFUSING[5:]))
    failed, thin = f"{GATES[0]} failed: too few positives", f"{GATES[4]} is inconclusive: {THIN.summary}"
    found = document()
    assert found["outcome_text"] == f"refused by {GATES[0]}; inconclusive: {GATES[4]}"
    assert (points(found)[failed], points(found)[thin]) == (True, True)
    now, releases, anna = dt.datetime.now(dt.UTC), Stores().releases(), Person("anna", "a")
    past = now - dt.timedelta(days=2)
    waive = releases.consents.waive
    waive("toy", candidate.digest, GATES[0], anna, reason="a pilot", until=now + dt.timedelta(days=1), now=now)
    waive("toy", candidate.digest, GATES[4], anna, reason="old", until=past + dt.timedelta(days=1), now=past)
    releases.consents.approve("toy", candidate.digest, anna, reason="sound", days=5, now=now)
    found = document()
    expired = f"the waiver of {GATES[4]} by anna is expired"
    assert (points(found)[failed], points(found)[thin], points(found)[expired]) == (False, True, True)
    assert [line["waived_by"] for line in found["gates"]][:5] == ["anna", None, None, None, None]
    standings = {gate: line[1] for gate, line in found["consents"]["waivers"]}
    assert standings == {GATES[0]: "in force", GATES[4]: "expired"}
    assert [line[:3] for line in found["consents"]["approvals"]] == [["anna", "given", "sound"]]
    printed = said(app, "report", "validation", "toy")
    assert "refused, waived by anna" in printed
    assert "inconclusive" in printed


def test_gates_that_did_not_exist_yet_are_named_as_missing(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained]
) -> None:
    judge(Stores(), kept(toy, table, models[EARLIER], EARLIER), PASSING[:-5])
    found = document()
    missing = [line["gate"] for line in found["gates"] if line["outcome"] is None]
    assert missing == list(GATES[-5:])
    assert all(points(found)[f"{gate} did not judge the candidate"] for gate in missing)
    states = {line["topic"]: line["state"] for line in found["guidance"]}
    assert (states["calibration"], states["volume of decisions"]) == ("missing", "evidence")
    assert said(app, "report", "validation", "toy").count("not judged") == 5


def test_a_candidate_that_was_not_judged_is_an_error_with_the_remedy(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained], tmp_path: Path
) -> None:
    with pytest.raises(LifecycleError, match="Expected a candidate of toy, found none; materialise the asset"):
        document()
    candidate = kept(toy, table, models[EARLIER], EARLIER)
    with pytest.raises(LifecycleError, match=f"candidate {candidate.digest[:12]} of toy as of 2024-01-18, found none"):
        said(app, "report", "validation", "toy", "--html", str(tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(LifecycleError, match="Expected a digest or a date, got both"):
        said(app, "report", "validation", "toy", candidate.digest, "--as-of", "2024-01-18")
    Stores().evidence("toy").write_gates(evidence_of(candidate), is_backtest=True)
    found = document(candidate.digest[:8])
    assert found["is_backtest"]
    assert points(found)["the verdicts are of a backtest or of a training by hand"]


def test_evidence_that_the_ledger_does_not_know_and_a_changed_file_are_open_points(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained], tmp_path: Path
) -> None:
    candidate = kept(toy, table, models[EARLIER], EARLIER)
    judge(Stores(), candidate, REFUSING)
    assert not any("changed" in text or "ledger" in text for text in points(document()))
    Stores().evidence("toy").write_gates(evidence_of(candidate, PASSING))
    rewrite(tmp_path, description="Another toy.", promotion={"mode": "auto", "approvals": "two"})
    found = document()
    assert [blocks for text, blocks in points(found).items() if "the ledger does not confirm" in text] == [True]
    assert [blocks for text, blocks in points(found).items() if "file has changed" in text] == [False]
    assert found["subject"]["description"] == "A toy."
    assert (found["consents"]["required"], found["consents"]["is_granted"]) == (2, False)
    assert any("it waits for approval: 0 of 2" in text for text in points(found))


def test_no_text_leaves_its_cell(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained], tmp_path: Path
) -> None:
    pages = []
    for text in ("x", INJECTION):
        card = {"intended_use": text, "limits": [text]}
        features = [dict(feature, reason_group=text) for feature in SPEC["features"]]
        spec = rewrite(tmp_path, description=text, owner=text, card=card, features=features)
        candidate = kept(spec, table, models[EARLIER], EARLIER)
        verdicts = (Verdict(gate=GATES[0], is_passed=False, summary=text, observed={text: text}), *PASSING[1:])
        judge(Stores(), candidate, verdicts)
        said(app, "report", "validation", "toy", "--html", str(tmp_path / "report.html"))
        pages.append(Structure((tmp_path / "report.html").read_text()))
    plain, injected = pages
    assert injected.tags == plain.tags
    assert injected.attributes == plain.attributes
    assert "".join(injected.text).count(INJECTION) >= 10


def test_no_customer_is_in_the_report(
    toy: RiskModelSpec, table: pa.Table, models: dict[dt.date, Trained], tmp_path: Path
) -> None:
    marked = table.set_column(
        table.schema.get_field_index("customer_id"), "customer_id",
        pc.add(table["customer_id"], 7_700_000_000),
    )  # fmt: skip
    candidate = kept(toy, marked, models[EARLIER], EARLIER)
    gated(toy, candidate)
    text = said(app, "report", "validation", "toy", "--json", "--html", str(tmp_path / "report.html"))
    page = "|".join(Structure((tmp_path / "report.html").read_text()).text)
    customers = {str(customer) for customer in marked["customer_id"].to_pylist()}
    assert all(len(customer) == 10 for customer in customers), "a shorter number could stand in a measurement"
    for shown in (text, page):
        assert not [customer for customer in customers if customer in shown]


@pytest.mark.parametrize("name", model_names())
def test_the_kept_file_of_a_model_equals_its_present_one(name: str) -> None:
    for profile in (None, *read_model(name).profiles):
        spec = read_model(name, profile)
        assert RiskModelSpec.model_validate_json(spec_file(spec)["spec.json"]) == spec
