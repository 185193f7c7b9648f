"""The gates `consistent` and `servable` of a candidate: one sandbox gives the evidence of both."""

import contextlib
import datetime as dt
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from lifecycle.artefacts.candidates import Candidate
from lifecycle.artefacts.evidence import GateEvidence
from lifecycle.artefacts.sandbox.probe import Expected, Sandbox, sandbox
from lifecycle.artefacts.sandbox.rows import SentRows
from lifecycle.artefacts.sandbox.server import standby_process
from lifecycle.assets.resources import Stores
from lifecycle.gates.candidate_gates.consistent import consistent
from lifecycle.gates.candidate_gates.servable import servable
from lifecycle.gates.comparison import ChampionModel
from lifecycle.gates.served_evidence import flips_against, with_first_figures
from lifecycle.modelling.training_set import Examples
from lifecycle.modelling.windows import split_examples
from lifecycle.reports.model_card import model_card
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import Verdict


def begin_standby() -> None:
    """Start what `prepared_sandbox` needs, in a process that trains a candidate before it judges it."""
    with contextlib.suppress(OSError):  # the probe says so
        standby_process()


def prepared_sandbox(stores: Stores, candidate: Candidate) -> AbstractContextManager[Sandbox]:
    """A sandbox that is prepared while other gates judge; its folder is gone after the block."""
    return sandbox(stores.settings.root / "sandboxes", candidate)


def served_verdicts(
    spec: RiskModelSpec,
    stores: Stores,
    prepared: Sandbox,
    candidate: Candidate,
    examples: Examples,
    champion: ChampionModel | None,
    verdicts: Sequence[Verdict],
) -> tuple[Verdict, Verdict]:
    """The verdicts of both gates; those of before if the same candidate passes again.

    Parameters
    ----------
    champion
        ``None`` without one, or if it is the candidate.
    verdicts
        Those of the other gates, for the bundle's model card.
    """
    expected = Expected.of(candidate, _holdout_rows(spec, examples, dt.date.fromisoformat(candidate.lineage.as_of)))
    card = model_card(spec, candidate, _evidence_of(candidate, verdicts)).encode()
    found = prepared.probe(candidate, expected, card)
    flips = None
    if champion is not None:
        ours = expected.scores, candidate.deciding.bands
        flips = flips_against(spec, ours, champion, expected.rows.features)
    earlier = _earlier(spec, stores, candidate)
    consistency = consistent(found, flips, spec.gates.consistency)
    costs = servable(found, spec.gates.servability)
    return consistency, with_first_figures(costs, earlier.get(costs.gate))


def _holdout_rows(spec: RiskModelSpec, examples: Examples, as_of: dt.date) -> SentRows:
    rows = split_examples(spec, examples, as_of).holdout.rows
    return SentRows(
        np.ascontiguousarray(examples.features[rows]),
        None if examples.facts is None else np.ascontiguousarray(examples.facts[rows]),
        examples.occurred_at[rows],
    )


def _evidence_of(candidate: Candidate, verdicts: Sequence[Verdict]) -> GateEvidence:
    lineage = candidate.lineage
    return GateEvidence(
        candidate.deciding.model, candidate.digest, lineage.training_set_digest, lineage.as_of, tuple(verdicts)
    )


def _earlier(spec: RiskModelSpec, stores: Stores, candidate: Candidate) -> dict[str, Verdict]:
    store = stores.evidence(spec.name)
    verdicts = store.gates(candidate.digest).verdicts if store.has_gates(candidate.digest) else ()
    return {verdict.gate: verdict for verdict in verdicts}
