"""Trains a candidate again from its frozen training set, and compares every file that the training wrote."""

from typing import Any

import msgspec

from lifecycle.artefacts.candidates import Candidate, golden_file, training_files
from lifecycle.artefacts.known_candidates import KnownCandidate
from lifecycle.artefacts.lineage import code_commit, library_versions
from lifecycle.assets.partitions import date_of
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.modelling.external import ExternalModel
from lifecycle.modelling.search import Progress
from lifecycle.modelling.training import Trained, train
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.spec.model_files import read_model
from lifecycle.spec.risk_model import RiskModelSpec
from serving.contract.documents import DECIDING_FILE, GOLDEN_FILE, digest, encode


class RebuiltFile(msgspec.Struct, frozen=True):
    """A file of the candidate: SHA-256 as recorded and as rebuilt."""

    name: str
    recorded: str
    rebuilt: str

    @property
    def is_same(self) -> bool:
        """Whether both are the same bytes."""
        return self.recorded == self.rebuilt


class Rebuild(msgspec.Struct, frozen=True):
    """A candidate and its rebuild.

    `changed` holds what the training ran on and differs now, as recorded and as it is: versions of libraries, and the
    commit of the code. `has_own_spec` tells whether the candidate keeps the model's file that it was trained by; if
    not, today's file was read.
    """

    model: str
    as_of: str
    candidate_digest: str
    training_set_digest: str
    files: tuple[RebuiltFile, ...]
    changed: dict[str, tuple[str | None, str | None]]
    has_own_spec: bool

    @property
    def is_same(self) -> bool:
        """Whether every file has the same bytes."""
        return all(file.is_same for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        files = [msgspec.to_builtins(file) | {"is_same": file.is_same} for file in self.files]
        return plain | {"files": files, "is_same": self.is_same}


def rebuild(stores: Stores, known: KnownCandidate, digest: str, progress: Progress | None = None) -> Rebuild:
    """Train again by the model's file of the candidate, and compare; nothing is kept.

    An external model is calibrated and judged again, with the trees that the candidate holds.

    Raises
    ------
    LifecycleError
        If the candidate or its training set is damaged or gone, rows were erased, or today's model file has other
        features than a candidate that keeps none.
    """
    candidate, _ = known.read(digest)
    candidate.expect_whole()
    lineage, own = candidate.lineage, candidate.spec
    spec = own or _spec_of_today(known.model, stores.settings.profile, candidate)
    sets = stores.training_sets(known.model)
    checked = sets.check(spec, lineage.as_of, lineage.training_set_digest)
    if checked.problem is not None:
        raise LifecycleError(checked.problem)
    examples = examples_from_table(sets.read_whole(lineage.as_of, lineage.training_set_digest), spec)
    trained = train(spec, examples, date_of(lineage.as_of), progress, _external(spec, candidate))
    return Rebuild(
        model=known.model,
        as_of=lineage.as_of,
        candidate_digest=candidate.digest,
        training_set_digest=lineage.training_set_digest,
        files=tuple(_compared(candidate, trained)),
        changed=_changed(candidate),
        has_own_spec=own is not None,
    )


def _spec_of_today(model: str, profile: str | None, candidate: Candidate) -> RiskModelSpec:
    """Today's model file, for a candidate of a version that did not keep it."""
    spec, features = read_model(model, profile), candidate.deciding.features
    if spec.contract_features != features:
        raise LifecycleError(
            f"Expected the model's file by which the candidate {candidate.digest[:16]} was trained, with "
            f"{len(features)} features, got one with others; check out commit {candidate.lineage.code_commit} and its "
            f"file - at {model}"
        )
    return spec


def _external(spec: RiskModelSpec, candidate: Candidate) -> ExternalModel | None:
    declared = spec.training.estimator.external
    return None if declared is None else ExternalModel(candidate.model_text, candidate.model_format, declared)


def _compared(candidate: Candidate, trained: Trained) -> list[RebuiltFile]:
    rebuilt = {
        candidate.model_file: trained.model_text,
        DECIDING_FILE: encode(trained.deciding),
        **training_files(trained),
    }
    if candidate.read(GOLDEN_FILE):  # a candidate of a backtest keeps none
        rebuilt[GOLDEN_FILE] = golden_file(trained.golden)
    return [
        RebuiltFile(name, digest(candidate.read(name)), digest(content)) for name, content in sorted(rebuilt.items())
    ]


def _changed(candidate: Candidate) -> dict[str, tuple[str | None, str | None]]:
    lineage, now = candidate.lineage, library_versions()
    recorded = {name: lineage.library_versions.get(name) for name in {*lineage.library_versions, *now}}
    pairs = {name: (version, now.get(name)) for name, version in sorted(recorded.items())}
    pairs["code commit"] = (lineage.code_commit, code_commit())
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
