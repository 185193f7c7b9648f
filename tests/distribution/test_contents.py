"""The source distribution, of which the wheel is built, holds every file of the packages and of the dbt project."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

from tests.harness.paths import ROOT

SHIPPED = ("dbt_project", "deploy", "lifecycle", "serving")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *SHIPPED], cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(filter(None, listed.stdout.split("\0")))


@pytest.mark.parametrize("linked", [(), ("dbt_project/models", "dbt_project/macros", "lifecycle/defs")])
def test_every_tracked_file_is_shipped(tracked: list[str], tmp_path: Path, linked: tuple[str, ...]) -> None:
    for name in (*tracked, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "workspace.yaml", ".gitignore"):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    # As an installation below the checkout links to them, the two that the demonstration makes.
    for home in (".lifecycle", ".lifecycle-snowflake"):
        for name in linked:
            link = tmp_path / home / "dbt" / "projects" / Path(name).name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(tmp_path / name)
    included = [file.relative_path for file in SdistBuilder(str(tmp_path)).recurse_included_files()]
    shipped = sorted(name for name in included if name.startswith(tuple(f"{folder}/" for folder in SHIPPED)))
    assert shipped == tracked
