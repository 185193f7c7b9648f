"""Evidence of one candidate's own behaviour, on its holdout: calibration, robustness, explanations."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from lifecycle.artefacts.candidates import Candidate
from lifecycle.gates.candidate_gates.calibrated import calibrated
from lifecycle.gates.candidate_gates.explained import explained
from lifecycle.gates.candidate_gates.robust import robust
from lifecycle.modelling.calibration_fit import fit_of_calibration
from lifecycle.modelling.explanations import measure_explanations
from lifecycle.modelling.fitting import FitRows, Parameters, fit
from lifecycle.modelling.ranking import Outcomes
from lifecycle.modelling.robustness import ProbedModel, measure_robustness
from lifecycle.modelling.windows import predict
from lifecycle.spec.gates import GatesSpec
from lifecycle.spec.risk_model import RiskModelSpec
from lifecycle.tables.arrays import FloatArray
from serving.contract.documents import Verdict


@dataclass(frozen=True)
class Recipe:
    """How a candidate's trees were grown, to grow them again on other rows or with another seed."""

    spec: RiskModelSpec
    parameters: Parameters
    rounds: int
    seed: int

    def fit(self, rows: FitRows, seed: int | None = None) -> bytes:
        """The model of these rows, as `fitting.fit`."""
        return fit(
            rows,
            self.spec.features,
            self.parameters,
            self.rounds,
            seed=self.seed if seed is None else seed,
            num_threads=self.spec.training.searched.num_threads,
        )


def recipe_of(spec: RiskModelSpec, candidate: Candidate) -> Recipe | None:
    """The recipe of a candidate; ``None`` for trees that were grown elsewhere."""
    parameters = dict(candidate.lineage.parameters)
    rounds = parameters.pop("rounds", None)
    if rounds is None or candidate.is_external:
        return None
    return Recipe(spec, parameters, int(rounds), candidate.lineage.seed)


def calibration_verdict(candidate: Candidate, outcomes: Outcomes, features: FloatArray, gates: GatesSpec) -> Verdict:
    """The judged model's calibration on the holdout."""
    calibration = candidate.evaluation.judged_calibration
    found = predict(candidate.judged_model_text, calibration, features)
    log_odds = calibration.slope * found.margins + calibration.intercept
    return calibrated(fit_of_calibration(outcomes, log_odds, found.scores, gates.confidence), gates.calibration)


def behaviour_verdicts(
    candidate: Candidate, features: FloatArray, refit: Callable[[int], bytes] | None, gates: GatesSpec
) -> tuple[Verdict, Verdict]:
    """The released model's robustness and explanations on the holdout's rows.

    Parameters
    ----------
    refit
        Fits the recipe again with another seed; ``None`` for trees that were grown elsewhere.
    """
    deciding = candidate.deciding
    # Both measures ask for the same seeds.
    grown = None if refit is None else functools.cache(refit)
    model = ProbedModel(candidate.model_text, deciding.features, deciding.calibration, deciding.bands, grown)
    robustness = measure_robustness(model, features, gates.robustness.perturbation)
    return (
        robust(robustness, gates.robustness),
        explained(measure_explanations(model, features), gates.explanations),
    )
