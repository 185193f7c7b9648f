"""The dbt project that is built: the shipped one, and the packages in the folder of models.

dbt needs one project with its packages in one folder. It is put together below the installation, of links to the
folders as they are: nothing is copied, fetched from a hub or written into them, so that they may be read-only.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from lifecycle.features.project import dbt_state_dir
from lifecycle.settings.platform import Settings
from lifecycle.spec.package_faults import PARTS, PROJECT_FILE, SHIPPED, Package
from serving.storage.durable import rename_flushed

_NOT_INHERITED = "+cluster_by"
"""It names a column that a package's models need not have."""


def assembled(settings: Settings, packages: Sequence[Package]) -> Path:
    """Folder of the project with these packages; the shipped one itself without any."""
    shipped = settings.dbt_project_dir
    if not packages:
        return shipped
    files = {PROJECT_FILE: _project_file(shipped, packages)}
    links = {part: shipped / part for part in PARTS if (shipped / part).is_dir()}
    for package in packages:
        inside = f"dbt_packages/{package.name}"
        files[f"{inside}/{PROJECT_FILE}"] = _package_file(package)
        links |= {f"{inside}/{part}": package.folder / part for part in PARTS if (package.folder / part).is_dir()}
    listed = [*sorted(files.items()), *((name, str(path.resolve())) for name, path in sorted(links.items()))]
    digest = hashlib.sha256("\n".join(f"{name} {content}" for name, content in listed).encode()).hexdigest()
    folder = dbt_state_dir(settings) / "projects" / digest[:16]
    if not folder.is_dir():
        _write(folder, files, links)
    return folder


def _write(folder: Path, files: Mapping[str, str], links: Mapping[str, Path]) -> None:
    """Make the folder whole, under another name first; another process may make the same one meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    for name, content in files.items():
        path = unfinished / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for name, target in links.items():
        (unfinished / name).symlink_to(target.resolve(), target_is_directory=True)
    with suppress(OSError):
        rename_flushed(unfinished, folder)


def _project_file(shipped: Path, packages: Sequence[Package]) -> str:
    """The shipped `dbt_project.yml`, whose layers and tests hold for each package, too."""
    document: dict[str, Any] = yaml.safe_load((shipped / PROJECT_FILE).read_text())
    layers = {
        key: {name: setting for name, setting in value.items() if name != _NOT_INHERITED}
        if isinstance(value, dict)
        else value
        for key, value in document["models"][SHIPPED].items()
    }
    for package in packages:
        document["models"][package.name] = layers
        document["data_tests"][package.name] = document["data_tests"][SHIPPED]
    return yaml.dump(document, Dumper=_NoAliases, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _package_file(package: Package) -> str:
    path = package.folder / PROJECT_FILE
    if path.is_file():
        return path.read_text()
    document = {"name": package.name, "version": "1.0.0", "config-version": 2}
    return yaml.safe_dump(document | {"model-paths": ["models"], "macro-paths": ["macros"], "test-paths": ["tests"]})
