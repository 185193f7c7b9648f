"""A candidate is trained again from its frozen training set: the same bytes, whatever became of its model's file."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from lifecycle.artefacts.candidates import Candidate, spec_file, training_files
from lifecycle.artefacts.known_candidates import known_candidates
from lifecycle.assets.rebuild import rebuild
from lifecycle.assets.resources import Stores
from lifecycle.assets.training import fit_candidate
from lifecycle.errors import LifecycleError
from lifecycle.modelling.training import Trained
from lifecycle.modelling.training_set import examples_from_table
from lifecycle.spec.risk_model import RiskModelSpec
from tests.harness.toy_home import FIRST_AS_OF, toy_home
from tests.harness.toy_model import AS_OF
from tests.harness.toy_platform import freeze

FILES = ["deciding.json", "evaluation.json", "golden.jsonl", "judged_model.txt", "model.txt", "reference.json"]


@pytest.fixture
def candidate(stores: Stores, spec: RiskModelSpec, table: pa.Table) -> Candidate:
    """The toy model, trained on a frozen training set."""
    digest = freeze(stores, spec, table).description.digest
    examples = examples_from_table(stores.training_sets("toy").read_whole(AS_OF.isoformat(), digest), spec)
    return fit_candidate(spec, examples, AS_OF, digest, stores.candidates("toy"))[0]


def test_a_rebuild_gives_the_same_bytes_without_the_models_file(stores: Stores, candidate: Candidate) -> None:
    stages: list[str] = []
    known = known_candidates(stores.settings)[candidate.digest]
    found = rebuild(stores, known, candidate.digest, lambda stage, done, total: stages.append(stage))
    assert found.is_same
    assert found.has_own_spec
    assert [file.name for file in found.files] == FILES
    assert found.changed == {}
    assert "released model" in stages
    assert len(known_candidates(stores.settings)) == 1


def test_what_differs_is_named(stores: Stores, spec: RiskModelSpec, candidate: Candidate, trained: Trained) -> None:
    changed = spec.model_dump(by_alias=True)
    changed["training"]["search"] |= {"seed": 1, "trials": 3}
    other = stores.candidates("toy").write(
        trained.model_text + b"\n",
        candidate.deciding,
        (),
        candidate.lineage,
        training_files(trained) | spec_file(RiskModelSpec.model_validate(changed)),
    )
    found = rebuild(stores, known_candidates(stores.settings)[other.digest], other.digest)
    assert not found.is_same
    assert {file.name for file in found.files if not file.is_same} >= {"evaluation.json", "model.txt"}
    assert "golden.jsonl" not in {file.name for file in found.files}, "a backtest keeps none"


def test_a_candidate_that_keeps_no_model_file_needs_todays(
    stores: Stores, candidate: Candidate, trained: Trained
) -> None:
    earlier = stores.candidates("toy").write(
        candidate.model_text, candidate.deciding, trained.golden, candidate.lineage, training_files(trained)
    )
    with pytest.raises(LifecycleError, match="Expected the name of a model, got 'toy'"):
        rebuild(stores, known_candidates(stores.settings)[earlier.digest], earlier.digest)


def test_erased_rows_are_no_difference_but_a_reason(
    stores: Stores, spec: RiskModelSpec, candidate: Candidate, table: pa.Table
) -> None:
    entity = str(table["customer_id"][0])
    stores.training_sets("toy").erase(spec, entity, "f" * 64)
    with pytest.raises(LifecycleError, match="were erased"):
        rebuild(stores, known_candidates(stores.settings)[candidate.digest], candidate.digest)


@pytest.mark.long  # two trainings as processes
def test_the_command_rebuilds_a_candidate_whose_models_file_was_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = toy_home(tmp_path / "home", monkeypatch)
    digest = json.loads(home.run("train", "toy", "--as-of", str(FIRST_AS_OF), "--json"))["candidate_digest"]
    home.write(training={"train": 7, "validation": 2, "holdout": 2, "search": {"trials": 1, "num_threads": 1}})
    found = json.loads(home.run("rebuild", digest[:12], "--json"))
    assert (found["is_same"], found["has_own_spec"], found["candidate_digest"]) == (True, True, digest)
    assert "The same, byte for byte." in home.run("rebuild", digest)
    [folder] = (home.settings.candidates_dir / "toy").glob(f"{FIRST_AS_OF}-*")
    (folder / "model.txt").write_bytes((folder / "model.txt").read_bytes().replace(b"num_leaves", b"num_leavez", 1))
    assert "Expected files with digest" in home.run("rebuild", digest, expected=1)
    assert "Expected a candidate of any model" in home.run("rebuild", "0123456789", expected=1)
