"""The model card says what was measured, is the same bytes every time, and is never left by its data."""

import html
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lifecycle.artefacts.candidates import Candidate, CandidateStore, training_files
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.modelling.training import Trained
from lifecycle.reports.model_card import model_card
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Lineage, ReasonTexts, Verdict
from tests.harness.toy_model import SPEC, spec_with

INJECTION = "</td></table><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}{% raw %}"
ALLOWED_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


class Structure(HTMLParser):
    """Tags, names of attributes, and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data)


def candidate(folder: Path, trained: Trained, text: str = "x") -> Candidate:
    """A stored candidate whose free texts are `text`."""
    deciding = msgspec.structs.replace(trained.deciding, reason_texts=ReasonTexts(version=text, texts={text: text}))
    lineage = Lineage(
        as_of="2024-02-01",
        training_set_digest=text,
        code_commit=text,
        parameters={text: text},
        seed=1,
        library_versions={text: text},
    )
    store = CandidateStore(folder, "toy")
    return store.write(trained.model_text, deciding, trained.golden, lineage, training_files(trained))


def evidence(text: str = "x") -> GateEvidence:
    verdicts = (
        Verdict(gate=text, is_passed=True, summary=text),
        Verdict(gate=text, is_passed=False, summary=text),
    )
    return GateEvidence(model="toy", candidate_digest="c", training_set_digest="d", as_of="d", verdicts=verdicts)


def spec_of(text: str) -> RiskModelSpec:
    features: list[dict[str, Any]] = [dict(feature, reason_group=text) for feature in SPEC["features"]]
    features[0]["name"] = text
    return spec_with(description=text, features=features, reason_texts={"version": text, "texts": {text: text}})


def test_the_card_states_metrics_verdicts_inputs_reasons_and_lineage(
    tmp_path: Path, trained: Trained, spec: RiskModelSpec
) -> None:
    text = Structure(model_card(spec, candidate(tmp_path, trained, "wording"), evidence("312 frauds"))).text
    assert (text[0], text[2]) == ("toy: model card", "toy")
    for heading in ("Decision", "Holdout", "Gates", "Inputs", "Reasons", "Lineage"):
        assert heading in text
    interval = trained.evaluation.metrics["average_precision"]
    row = text.index("average precision")
    assert text[row + 1 : row + 3] == [f"{interval.value:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"]
    assert "95% interval" in text
    assert text.count("312 frauds") == 4
    wording = "Wording wording; a decision states the strongest four."
    assert {"passed", "refused", "from 0", "0 to 1", "any", wording} <= set(text)
    assert "parameter wording" in text


def test_the_same_candidate_gives_the_same_bytes(tmp_path: Path, trained: Trained, spec: RiskModelSpec) -> None:
    first = model_card(spec, candidate(tmp_path / "a", trained), evidence())
    assert model_card(spec, candidate(tmp_path / "b", trained), evidence()) == first


def test_a_model_without_reason_texts_says_so(tmp_path: Path, trained: Trained, spec: RiskModelSpec) -> None:
    stored = candidate(tmp_path, trained)
    deciding = msgspec.structs.replace(trained.deciding, reason_texts=None)
    (stored.folder / "deciding.json").write_bytes(msgspec.json.encode(deciding))
    assert "The decisions of this model are not explained." in Structure(model_card(spec, stored, evidence())).text


@pytest.mark.parametrize("text", [INJECTION, "'", '"', "&lt;", "a & b", "</style>", "<!--"])
def test_no_text_of_the_data_leaves_its_cell(tmp_path: Path, trained: Trained, text: str) -> None:
    page = model_card(spec_of(text), candidate(tmp_path, trained, text), evidence(text))
    structure = Structure(page)
    plain = Structure(model_card(spec_of("x"), candidate(tmp_path, trained), evidence()))
    assert structure.tags == plain.tags
    assert set(structure.tags) <= ALLOWED_TAGS
    assert structure.attributes == plain.attributes
    assert "".join(structure.text).count(text) >= 15
    assert html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
