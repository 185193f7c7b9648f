"""The dbt projects of an installation, the shipped one first, and their YAML files, each read once while it stays."""

import functools
from pathlib import Path

import yaml

from lifecycle.settings.platform import Settings
from lifecycle.spec.yaml_faults import YamlFile

PACKAGE_DIR = "dbt"
"""Folder of a dbt package: in a model's folder, or in the folder of models for what several models share."""
MODELS_DIR = "models"
MAPPINGS_DIR = "mappings"


def dbt_projects(settings: Settings) -> tuple[Path, ...]:
    """Folders of the dbt projects: the shipped one, the one that models share, and each model's own."""
    folder = settings.models
    own = sorted(path for path in folder.glob(f"*/{PACKAGE_DIR}") if path.is_dir() and path.parent.name != PACKAGE_DIR)
    shared = [folder / PACKAGE_DIR] if (folder / PACKAGE_DIR).is_dir() else []
    return (settings.dbt_project_dir, *shared, *own)


def property_files(project: Path) -> list[Path]:
    """YAML files below ``models/``."""
    return sorted(path for path in (project / MODELS_DIR).rglob("*") if path.suffix in {".yml", ".yaml"})


def read_yaml(path: Path) -> YamlFile:
    """A file's document, with its lines.

    Raises
    ------
    OSError
        If it cannot be read.
    UnicodeDecodeError
        If it is no text.
    yaml.YAMLError
        If it is not YAML, or has a key twice.
    """
    status = path.stat()
    read = _read(path, status.st_mtime_ns, status.st_size)
    if isinstance(read, Exception):
        raise read
    return read


@functools.lru_cache(maxsize=1024)
def _read(path: Path, _modified_ns: int, _size: int) -> "YamlFile | yaml.YAMLError | UnicodeDecodeError":
    try:
        return YamlFile(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return error
