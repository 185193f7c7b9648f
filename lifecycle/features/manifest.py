"""Files, digest and parsed manifest of the dbt project."""

import hashlib
import os
import shutil
from importlib.metadata import version
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.features.project import dbt_state_dir
from lifecycle.settings.platform import Settings

PROJECT_FILE_SUFFIXES = frozenset({".sql", ".yml", ".yaml", ".md"})


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
    skipped = {"target", "logs", "dbt_packages"}
    files: list[Path] = []
    for folder, folders, names in os.walk(dbt_project_dir):
        folders[:] = sorted(name for name in folders if name not in skipped and not name.startswith("."))
        files += [Path(folder, name) for name in names if Path(name).suffix in PROJECT_FILE_SUFFIXES]
    return sorted(files)


def project_digest(settings: Settings) -> str:
    """SHA-256 of the project's files, dbt's versions and the target, on which the manifest depends."""
    dbt_project_dir = settings.dbt_project_dir
    target = f"{settings.target} {version('dbt-core')} {version(f'dbt-{settings.target}')}"
    if settings.target == "snowflake":
        target += f" {settings.snowflake.database}"
    digest = hashlib.sha256(target.encode())
    for path in project_files(dbt_project_dir):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(dbt_project_dir).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def ensure_manifest(settings: Settings) -> Path:
    """The project's `manifest.json`, parsed by dbt (3 to 6 s) only if the project's files have changed since.

    Its folder is named by the project's digest, so it is never out of date. If several processes find it missing, one
    parses and the others wait.

    Raises
    ------
    LifecycleError
        If dbt cannot parse the project.
    """
    folder = dbt_state_dir(settings) / "manifests" / project_digest(settings)[:16]
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return manifest
    from lifecycle.features.dbt import run_dbt
    from serving.storage.durable import write_file
    from serving.storage.locks import lock_file

    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock_file(Path(f"{folder}.lock")):
        if not manifest.is_file():
            parsing = _parsing_dir(settings)
            run_dbt(settings, ["parse"], target_path=parsing).expect_success("to parse its project")
            write_file(manifest, (parsing / "manifest.json").read_bytes())
    return manifest


def reuse_parsing(settings: Settings, target_path: Path) -> None:
    """Copy the parse result of the manifest to a new target folder, which saves its first run 2 s."""
    parsed, wanted = (folder / "partial_parse.msgpack" for folder in (_parsing_dir(settings), target_path))
    if parsed.is_file() and not wanted.exists():
        target_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy(parsed, wanted)


def _parsing_dir(settings: Settings) -> Path:
    return dbt_state_dir(settings) / "parsing" / settings.target
