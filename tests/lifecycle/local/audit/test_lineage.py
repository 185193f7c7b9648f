"""The lineage of each kind of digest is what was done; what no document records is named."""

import json
import shutil
from typing import Any

import pytest
import typer

from lifecycle.errors import LifecycleError
from lifecycle.local.audit.lineage import find
from lifecycle.local.audit.lineage_graph import UNRECORDED_ORIGIN, Graph
from lifecycle.releases.ledger.reading import read_records
from serving.contract.documents import digest
from tests.harness.audited_home import MODEL
from tests.harness.commands import said
from tests.lifecycle.local.audit.conftest import Copy

pytestmark = pytest.mark.timeout(600)
Tree = dict[str, Any]


def lineage(app: typer.Typer, name: str, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(said(app, "lineage", name, "--json", *options))
    return document


def kinds(parts: list[dict[str, Any]]) -> Tree:
    """The kinds of a tree, each with the digests below it."""
    return {f"{part['label']}{part['kind']} {part['digest']}": kinds(part["parts"]) for part in parts}


def release_digest(copy: Copy, number: int) -> str:
    return digest((copy.settings.release_store / "releases" / MODEL / f"{number:06d}.json").read_bytes())


def releases(copy: Copy, **slots: list[int]) -> Tree:
    return {f"{slot}release {release_digest(copy, one)}": {} for slot, numbers in slots.items() for one in numbers}


def above_candidate(copy: Copy, index: int) -> Tree:
    """What a candidate was made from, by the ledger's records."""
    configured = [one for one in read_records(copy.settings.release_store) if one.kind == "configuration"][index]
    marts: Tree = {"mart marts.toy_features": {}, "mart marts.toy_outcomes": {}}
    return {
        f"training set {copy.made.training_set}": marts,
        f"specification {configured.subjects['specification']}": {
            f"model file {configured.subjects['model_file']}": {}
        },
    }


def below_bundle(copy: Copy, index: int) -> Tree:
    if index == 0:
        return releases(copy, champion=[1, 3, 4, 5])
    return releases(copy, champion=[2], shadow=[4], canary=[5])


def below_candidate(copy: Copy, index: int) -> Tree:
    evidence = copy.settings.evidence_dir / MODEL / "gates" / f"{copy.made.candidates[index].digest}.json"
    return {
        f"verdicts {digest(evidence.read_bytes())}": {},
        f"bundle {copy.made.bundles[index]}": below_bundle(copy, index),
    }


@pytest.mark.parametrize("index", [0, 1])
def test_a_bundle_and_its_candidate(app: typer.Typer, copy: Copy, index: int) -> None:
    candidate = copy.made.candidates[index].digest
    found = lineage(app, copy.made.bundles[index][:12])
    assert kinds(found["made_from"]) == {f"candidate {candidate}": above_candidate(copy, index)}
    assert kinds(found["made"]) == below_bundle(copy, index)
    expected = [[(1, 1), (3, 1), (4, 2)], [(2, 1), (4, 2), (5, 1)]][index]
    assert [(one["release_number"], one["decisions"]) for one in found["served"]] == expected
    found = lineage(app, candidate)
    assert kinds(found["made_from"]) == above_candidate(copy, index)
    assert kinds(found["made"]) == below_candidate(copy, index)


def test_a_training_set_says_what_is_not_recorded(app: typer.Typer, copy: Copy) -> None:
    found = lineage(app, copy.made.training_set)
    assert [*kinds(found["made_from"])] == ["mart marts.toy_features", "mart marts.toy_outcomes"]
    assert kinds(found["made"]) == {
        f"candidate {candidate.digest}": below_candidate(copy, index)
        for index, candidate in enumerate(copy.made.candidates)
    }
    assert found["notes"] == [UNRECORDED_ORIGIN]
    assert sum(one["decisions"] for one in found["served"]) == 8
    shown = said(app, "lineage", copy.made.training_set)
    assert UNRECORDED_ORIGIN in shown
    assert "release 4, shadow" in shown


def test_a_release_a_specification_a_model_file_and_verdicts(app: typer.Typer, copy: Copy) -> None:
    found = lineage(app, release_digest(copy, 4))
    assert [(part["label"], part["digest"]) for part in found["made_from"]] == [
        ("champion", copy.made.bundles[0]),
        ("shadow", copy.made.bundles[1]),
    ]
    assert (found["made"], found["facts"]["number"], found["facts"]["released_by"]) == ([], 4, "ben")
    assert [(one["slot"], one["decisions"]) for one in found["served"]] == [("champion", 2), ("shadow", 2)]
    configured = [one for one in read_records(copy.settings.release_store) if one.kind == "configuration"][1]
    candidate = f"candidate {copy.made.candidates[1].digest}"
    assert [*kinds(lineage(app, configured.subjects["specification"])["made"])] == [candidate]
    [made] = kinds(lineage(app, configured.subjects["model_file"])["made"]).values()
    assert [*made] == [candidate]
    [verdicts, _] = below_candidate(copy, 1)
    found = lineage(app, verdicts.removeprefix("verdicts "))
    assert ([*kinds(found["made_from"])], found["facts"]["outcome"]) == ([candidate], "passed")


def test_what_only_the_ledger_knows_is_told_as_gone(app: typer.Typer, copy: Copy) -> None:
    for folder in (copy.settings.candidates_dir, copy.settings.training_sets_dir, copy.settings.evidence_dir):
        shutil.rmtree(folder)
    shutil.rmtree(copy.settings.release_store / "bundles")
    candidate = copy.made.candidates[0].digest
    found = lineage(app, candidate, "--no-decisions")
    assert found["notes"] == ["its folder is gone"]
    expected = above_candidate(copy, 0)
    assert kinds(found["made_from"]) == expected | {f"training set {copy.made.training_set}": {}}
    assert kinds(found["made"]) == {
        f"bundle {copy.made.bundles[0]}": releases(copy, champion=[1, 3, 4, 5]),
        **{f"verdicts {one.subjects['evidence']}": {} for one in read_records(copy.settings.release_store)
           if one.kind == "gates" and one.subjects["candidate"] == candidate},
    }  # fmt: skip
    assert found["served"] is None
    assert "the decision log was not read" in said(app, "lineage", candidate, "--no-decisions")


def test_files_that_do_not_verify_are_named(app: typer.Typer, copy: Copy) -> None:
    store = copy.settings.release_store
    manifest = store / "bundles" / copy.made.bundles[0] / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"20180401", b"20180402"))
    release = store / "releases" / MODEL / "000002.json"
    release.write_bytes(release.read_bytes().replace(b"ben", b"eve"))
    (store / "ledger" / "records.jsonl").write_bytes(b"damaged\n")
    found = lineage(app, copy.made.bundles[0])
    assert "its manifest does not verify" in found["notes"][0]
    assert any("release 2 of toy" in note for note in found["unread"])
    assert any("the ledger cannot be read" in note for note in found["unread"])
    assert "Not read:" in said(app, "lineage", copy.made.bundles[0])


def test_an_unknown_digest_and_a_short_one_are_refused(app: typer.Typer, copy: Copy) -> None:
    with pytest.raises(LifecycleError, match=f"found none that begins with 0123456789.* - in {copy.settings.root}"):
        said(app, "lineage", "0123456789")
    for wrong in ("abc", "xyzw", "a" * 65):
        with pytest.raises(LifecycleError, match="at least its first 4 hexadecimal digits"):
            said(app, "lineage", wrong)


def test_a_beginning_of_several_digests_is_refused(copy: Copy) -> None:
    graph = Graph()
    graph.node("bundle", "abcd1" + "0" * 59, "a test")
    wanted = graph.node("candidate", "abcd2" + "0" * 59, "a test")
    with pytest.raises(LifecycleError, match="abcd begins 2: bundle abcd10000000, candidate abcd20000000; add digits"):
        find(graph, "abcd", copy.settings.root)
    assert find(graph, "ABCD2", copy.settings.root) is wanted
