"""Files, digest and parsed manifest of the dbt project."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.features.dbt import run_dbt
from lifecycle.features.packages import assembled
from lifecycle.features.project import dbt_state_dir
from lifecycle.settings.platform import Settings
from lifecycle.spec.package_faults import Package, packages, quick_faults
from serving.storage.durable import write_file
from serving.storage.locks import lock_file

LEFT_OUT_FILE = "left_out.json"
PROJECT_FILE_SUFFIXES = frozenset({".sql", ".yml", ".yaml", ".md"})


@dataclass(frozen=True)
class DbtProject:
    """The project that dbt builds: its folder, its parsed manifest, and why each left-out package is, by name."""

    folder: Path
    manifest: Path
    left_out: Mapping[str, str]


def project_files(dbt_project_dir: Path) -> list[Path]:
    """Files of the project that dbt reads.

    Raises
    ------
    LifecycleError
        If the folder has no ``dbt_project.yml``.
    """
    if not (dbt_project_dir / "dbt_project.yml").is_file():
        raise LifecycleError(
            f"Expected a dbt project, found no dbt_project.yml - at {dbt_project_dir}; set LIFECYCLE_DBT_PROJECT_DIR"
        )
    return _files_below(dbt_project_dir)


def _files_below(project: Path) -> list[Path]:
    skipped = {"target", "logs", "dbt_packages"}
    files: list[Path] = []
    for folder, folders, names in os.walk(project):
        folders[:] = sorted(name for name in folders if name not in skipped and not name.startswith("."))
        files += [Path(folder, name) for name in names if Path(name).suffix in PROJECT_FILE_SUFFIXES]
    return sorted(files)


def project_digest(settings: Settings) -> str:
    """SHA-256 of the files of the project and of the packages in the folder of models, dbt's versions and the target.

    The manifest depends on them.
    """
    target = f"{settings.target} {version('dbt-core')} {version(f'dbt-{settings.target}')}"
    if settings.target == "snowflake":
        target += f" {settings.snowflake.database}"
    digest = hashlib.sha256(target.encode())
    files = [(settings.dbt_project_dir, path) for path in project_files(settings.dbt_project_dir)]
    for package in packages(settings):
        digest.update(f"\npackage {package.name} {package.folder}\n".encode())
        files += [(package.folder, path) for path in _files_below(package.folder)]
    for folder, path in files:
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def ensure_project(settings: Settings) -> DbtProject:
    """The dbt project with every package that dbt can parse, parsed (3 to 6 s) only if a file has changed since.

    The folder of the manifest is named by the digest of all files, so it is never out of date. If several processes
    find it missing, one parses and the others wait. If the whole does not parse, the packages are added one by one, and
    those that cannot be parsed are left out.

    Raises
    ------
    LifecycleError
        If dbt cannot parse the shipped project.
    """
    folder = dbt_state_dir(settings) / "manifests" / project_digest(settings)[:16]
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lock_file(Path(f"{folder}.lock")):
            if not manifest.is_file():
                left_out = _parse(settings)
                write_file(folder / LEFT_OUT_FILE, json.dumps(left_out).encode())
                write_file(manifest, (_parsing_dir(settings) / "manifest.json").read_bytes())
    return _project(settings, folder)


def known_project(settings: Settings) -> DbtProject | None:
    """As `ensure_project`, but ``None`` if dbt has not parsed the files as they are now."""
    folder = dbt_state_dir(settings) / "manifests" / project_digest(settings)[:16]
    return _project(settings, folder) if (folder / "manifest.json").is_file() else None


def ensure_manifest(settings: Settings) -> Path:
    """The `manifest.json` of `ensure_project`."""
    return ensure_project(settings).manifest


def reuse_parsing(settings: Settings, target_path: Path) -> None:
    """Copy the parse result of the manifest to a new target folder, which saves its first run 2 s."""
    parsed, wanted = (folder / "partial_parse.msgpack" for folder in (_parsing_dir(settings), target_path))
    if parsed.is_file() and not wanted.exists():
        target_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy(parsed, wanted)


def _project(settings: Settings, folder: Path) -> DbtProject:
    path = folder / LEFT_OUT_FILE  # manifests of earlier versions have none, nor packages
    left_out: dict[str, str] = json.loads(path.read_bytes()) if path.is_file() else {}
    usable = [package for package in packages(settings) if package.name not in left_out]
    return DbtProject(assembled(settings, usable), folder / "manifest.json", left_out)


def _parse(settings: Settings) -> dict[str, str]:
    """Parse the project with every package that can be, for its manifest; returns why the others cannot, by name."""
    left_out = quick_faults(settings)
    usable = [package for package in packages(settings) if package.name not in left_out]
    if _parsed(settings, usable) is None:
        return left_out
    good: list[Package] = []
    fault = _parsed(settings, good)
    if fault is not None:
        raise LifecycleError(fault)
    for package in usable:
        fault = _parsed(settings, [*good, package])
        if fault is None:
            good.append(package)
        else:
            left_out[package.name] = f"{fault} - in the dbt package {package.folder}"
    if fault is not None:
        _parsed(settings, good)
    return left_out


def _parsed(settings: Settings, usable: Sequence[Package]) -> str | None:
    """Parse the project with these packages; returns the error, if there is one."""
    project = assembled(settings, usable)
    run = run_dbt(settings, ["parse"], target_path=_parsing_dir(settings), project=project)
    try:
        run.expect_success("to parse its project")
    except LifecycleError as error:
        return str(error)
    return None


def _parsing_dir(settings: Settings) -> Path:
    return dbt_state_dir(settings) / "parsing" / settings.target
