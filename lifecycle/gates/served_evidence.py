"""Evidence of the gates `consistent` and `servable`: what a server in a sandbox made of a candidate's bundle."""

from dataclasses import dataclass

from lifecycle.errors import LifecycleError
from lifecycle.gates.comparison import ChampionModel, champion_columns
from lifecycle.modelling.group_evidence import bands_of
from lifecycle.modelling.slices import chosen_slices, slices
from lifecycle.modelling.windows import predict
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Bands, Verdict


@dataclass(frozen=True)
class NotServed:
    """There is no evidence: the server could not be started, or stopped answering."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """The server did not load the bundle; `message` is its own."""

    message: str


@dataclass(frozen=True)
class Agreement:
    """Answers over HTTP against what is expected: rows asked for, answers that differ, rows refused.

    `scores` counts answers whose margin or score differs in a bit, `decisions` those with another decision. `first` is
    the first difference or refusal, without values of the row.
    """

    rows: int
    scores: int = 0
    decisions: int = 0
    refused: int = 0
    first: str | None = None

    @property
    def faults(self) -> int:
        """Differing scores, differing decisions and refused rows together."""
        return self.scores + self.decisions + self.refused


@dataclass(frozen=True)
class Costs:
    """What a bundle costs the server's process.

    Parameters
    ----------
    load_cpu_seconds, load_seconds
        Processor time and wall-clock time of loading the bundle.
    memory_bytes
        Growth of the resident memory while it was loaded; 0 if it shrank.
    decision_cpu_us
        Processor time of one single-row request that is not explained, its HTTP included.
    explanation_cpu_us
        What reasons add to it; ``None`` if the model is not explained.
    latency_p50_us, latency_p99_us, explained_p50_us, explained_p99_us
        Wall-clock times at the caller of requests one after the other.
    bundle_bytes
        Size of the bundle's files.
    """

    load_cpu_seconds: float
    load_seconds: float
    memory_bytes: int
    decision_cpu_us: float
    explanation_cpu_us: float | None
    latency_p50_us: float
    latency_p99_us: float
    explained_p50_us: float | None
    explained_p99_us: float | None
    bundle_bytes: int


@dataclass(frozen=True)
class Served:
    """What the server answered and cost.

    Parameters
    ----------
    holdout_rows
        Rows of the holdout, of which `holdout` asked for all or an even sample.
    """

    golden: Agreement
    holdout: Agreement
    holdout_rows: int
    costs: Costs


ServedEvidence = Served | Refused | NotServed


@dataclass(frozen=True)
class SliceFlips:
    """The share of a slice's rows whose decision differs from the champion's."""

    name: str
    rows: int
    share: float


@dataclass(frozen=True)
class Flips:
    """The share of the holdout's rows whose decision differs from the champion's, and of each slice's."""

    share: float
    slices: tuple[SliceFlips, ...] = ()


def flips_against(
    spec: RiskModelSpec, candidate: tuple[FloatArray, Bands], champion: ChampionModel, features: FloatArray
) -> Flips | None:
    """How many decisions differ between the candidate and the champion, each with its own bands.

    Parameters
    ----------
    candidate
        Its scores of the rows, and its bands.

    Returns
    -------
    Flips or None
        ``None`` without rows, or if the champion needs a feature that the specification no longer has.
    """
    scores, bands = candidate
    if not len(features):
        return None
    try:
        columns = champion_columns(spec, champion, features)
    except LifecycleError:
        return None
    theirs = predict(champion.text, champion.calibration, columns).scores
    differs = bands_of(scores, bands) != bands_of(theirs, champion.bands)
    chosen = slices(spec.features, features, chosen_slices(spec.features, spec.gates.slices))
    by_slice = (SliceFlips(each.name, int(each.mask.sum()), float(differs[each.mask].mean())) for each in chosen)
    return Flips(float(differs.mean()), tuple(by_slice))


def with_first_figures(verdict: Verdict, earlier: Verdict | None) -> Verdict:
    """The earlier verdict on the same candidate if it says the same: both passed, against the same limits.

    Measured times differ whenever they are measured. A bundle is named by its verdicts, so that without this rule
    judging a candidate again would give it another bundle and another release. The later measurement decides all the
    same: one that does not pass replaces the earlier verdict.
    """
    is_same = earlier is not None and earlier.is_passed and verdict.is_passed and earlier.required == verdict.required
    return earlier if is_same and earlier is not None else verdict
