"""The score sheet names what exists, and adds up."""

import ast
import re
from itertools import groupby

from tests.harness.paths import ROOT

TEXT = (ROOT / "docs" / "ml-test-score.md").read_text()
PARTS = {"data": "Data", "model": "Model", "infrastructure": "Infrastructure", "monitoring": "Monitoring"}
ROW = re.compile(r"^\| (?P<test>[^|]+) \| (?P<how>[^|]+) \| (?P<proof>[^|]+) \| (?P<score>0|0\.5|1) \|$", re.MULTILINE)


def rows(part: str) -> list[re.Match[str]]:
    return list(ROW.finditer(TEXT.partition(f"## {part}\n")[2].partition("\n## ")[0]))


def test_every_part_has_seven_tests_and_the_sums_are_right() -> None:
    sums = {name: sum(float(row["score"]) for row in rows(part)) for name, part in PARTS.items()}
    assert [len(rows(part)) for part in PARTS.values()] == [7, 7, 7, 7]
    listed = ", ".join(f"{name} {score:.1f}" for name, score in sums.items())
    assert f"**Score: {min(sums.values()):.1f}** ({listed})" in TEXT


def test_every_proof_exists() -> None:
    proofs = [row["proof"] for part in PARTS.values() for row in rows(part) if float(row["score"])]
    named = sorted(tuple(proof.strip("`").partition("::")[::2]) for proof in proofs)
    assert len(named) == 28
    for file, functions in groupby(named, key=lambda name: name[0]):
        tree = ast.parse((ROOT / file).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {function for _, function in functions if function} <= defined, file


def test_a_test_without_proof_scores_nothing() -> None:
    unproved = [row for part in PARTS.values() for row in rows(part) if row["proof"] == "-"]
    assert [float(row["score"]) for row in unproved] == [0.0] * len(unproved)
