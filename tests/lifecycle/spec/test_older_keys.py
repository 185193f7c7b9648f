"""A model's file with the keys of an earlier version is valid, its faults have their lines, and no key counts twice."""

from pathlib import Path

import pytest
import yaml

from lifecycle.errors import LifecycleError
from lifecycle.spec.model_files import read_spec

SHIPPED = Path("lifecycle/defs/card_fraud/defs.yaml").read_text()
OLDER = SHIPPED.replace("minimum_positives", "minimum_frauds").replace("minimum_new_positives", "minimum_new_frauds")


def written(folder: Path, text: str) -> Path:
    file = folder / "defs.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("profile", [None, "demo"])
def test_older_keys_mean_what_they_meant(tmp_path: Path, profile: str | None) -> None:
    assert OLDER != SHIPPED
    older = read_spec(written(tmp_path, OLDER), profile).model_dump(exclude={"profiles"})
    assert older == read_spec(written(tmp_path, SHIPPED), profile).model_dump(exclude={"profiles"})


def test_a_fault_under_an_older_key_has_the_line_of_that_key(tmp_path: Path) -> None:
    text = OLDER.replace("minimum_frauds: 100", "minimum_frauds: 0")
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "minimum_frauds: 0" in row)
    with pytest.raises(LifecycleError, match=rf"got 0 - at `gates\.minimum_positives`, line {line} - in "):
        read_spec(written(tmp_path, text))


def test_a_key_in_both_forms_is_refused(tmp_path: Path) -> None:
    document = yaml.safe_load(SHIPPED)
    document["attributes"]["gates"]["minimum_frauds"] = 7
    with pytest.raises(LifecycleError, match=r"Expected one of `gates.minimum_frauds` and `gates.minimum_positives`"):
        read_spec(written(tmp_path, yaml.safe_dump(document)))
