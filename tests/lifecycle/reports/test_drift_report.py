"""The page of one day's monitoring says what the verdict says, and Evidently's failure says no value."""

import datetime as dt
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.modelling.evaluation import Interval
from lifecycle.modelling.reference import SCORE, count
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import predict
from lifecycle.monitoring.drift import judge_drift
from lifecycle.monitoring.standing import advance
from lifecycle.monitoring.traffic import ChampionInForce
from lifecycle.monitoring.verdict import MonitoringVerdict, monitoring_verdict
from lifecycle.reports.drift_report import Illustration, drift_page
from lifecycle.reports.illustration import write_illustration
from lifecycle.spec.risk_model import RiskModelSpec

AS_OF = dt.date(2024, 2, 1)


@pytest.fixture(scope="module")
def champion(trained: Trained) -> ChampionInForce:
    return ChampionInForce(
        bundle_digest="b" * 64,
        trained_until=dt.date(2024, 1, 20),
        promised_recall=Interval(0.5, 0.4, 0.6),
        reference=trained.reference,
        deciding=trained.deciding,
        model_text=trained.model_text,
    )


def verdict(
    spec: RiskModelSpec, champion: ChampionInForce, examples: Examples, moved: float, rows_a_day: int = 200
) -> MonitoringVerdict:
    """A week of examples, the amount of a share of them far above the reference."""
    daily = {}
    for back in range(7, 0, -1):
        features = examples.features[back * rows_a_day : (back + 1) * rows_a_day].copy()
        features[: int(moved * rows_a_day), 0] = 9_999.0
        columns = {name: features[:, at] for at, name in enumerate(spec.feature_names)}
        columns[SCORE] = predict(champion.model_text, champion.deciding.calibration, features).scores
        daily[AS_OF - dt.timedelta(days=back)] = count(champion.reference, columns)
    traffic = judge_drift(champion.reference, daily, AS_OF, spec.drift, bundle_digest=champion.bundle_digest)
    step = advance(None, champion.bundle_digest, AS_OF, traffic, None)
    return monitoring_verdict(champion, AS_OF, traffic, None, step, 0)


def test_the_page_says_what_the_verdict_says(
    spec: RiskModelSpec, champion: ChampionInForce, examples: Examples
) -> None:
    judged = verdict(spec, champion, examples, 0.4)
    page = drift_page(spec, champion, judged, Illustration("drift.evidently.html", 1400))
    assert "<title>toy: monitoring as of 2024-02-01, alarm</title>" in page
    assert f'<p class="state alarm"><strong>alarm</strong> since 2024-02-01,\nonset {judged.onset}' in page
    assert "PSI above 0.2: amount" in page
    assert "2024-01-25 to before\n2024-02-01" in page
    assert f"<code>{'b' * 64}</code>, fitted on days before 2024-01-20" in page
    for name, psi in judged.traffic.psi.items():
        assert f'aria-label="Shares of {name} by bin"' in page
        assert f'<td class="number">{psi:.3f}</td>' in page
    assert page.index("Shares of amount") < page.index("Shares of score")
    assert "gold: " in page
    assert 'src="drift.evidently.html"' in page
    assert "judges nothing" in page


def test_a_quiet_week_and_one_without_a_verdict_are_pages_too(
    spec: RiskModelSpec, champion: ChampionInForce, examples: Examples
) -> None:
    none = Illustration(None, 0, "the window has no decisions")
    quiet = drift_page(spec, champion, verdict(spec, champion, examples, 0.0), none)
    assert "monitoring as of 2024-02-01, quiet" in quiet
    assert "There is no illustration: the window has no decisions." in quiet
    silent = drift_page(spec, champion, verdict(spec, champion, examples, 0.0, rows_a_day=10), none)
    assert "monitoring as of 2024-02-01, no verdict" in silent
    assert "70 decisions, below 1000: no verdict" in silent


def sample() -> pa.Table:
    rows = [[12.5 + number, 0, "gold" if number % 3 else "basic", None] for number in range(60)]
    return pa.table(
        {
            "bundle_digest": ["b" * 64] * 60,
            "features": [msgspec.json.encode(row).decode() for row in rows],
            "score": np.linspace(0.01, 0.9, 60),
        }
    )


def test_an_error_of_evidently_is_named_without_its_values(
    spec: RiskModelSpec, champion: ChampionInForce, table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(current: object, reference: object) -> bytes:
        raise ValueError("could not convert string to float: 'Anna Schmidt'")

    monkeypatch.setattr("lifecycle.reports.illustration._rendered", fails)
    shown = write_illustration(spec, champion, table, sample(), tmp_path / "page.html")
    assert shown == Illustration(None, 0, "Evidently ended with ValueError")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_the_illustration_shows_categories_and_the_score_and_gives_no_verdict(
    spec: RiskModelSpec, champion: ChampionInForce, table: pa.Table, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    assert write_illustration(spec, champion, table, sample(), path) == Illustration("page.html", 60)
    page = path.read_text()
    for word in ("segment", "gold", "basic", "score"):
        assert word in page
    assert "drift" not in page.lower()
