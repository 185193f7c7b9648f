"""Models and bundles by what a person types: a name with suggestions, a digest by its unique beginning."""

import re
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.spec.model_files import model_names
from lifecycle.spec.suggestions import suggestion

SHORTEST_PREFIX = 4
_SHOWN = 5


def known_model(root: Path, name: str) -> str:
    """The name, if a model of this installation has it, or one with releases in the release store `root`.

    Raises
    ------
    LifecycleError
        For another name, with the most similar ones.
    """
    releases = root / "releases"
    names = {path.name for path in releases.iterdir()} if releases.is_dir() else set()
    names |= set(model_names())
    if name not in names:
        raise LifecycleError(f"Expected the name of a model, got {name!r}{suggestion(name, names)}")
    return name


def bundle_by_prefix(root: Path, prefix: str) -> str:
    """Digest of the one bundle of the release store that begins with `prefix`, of at least four digits.

    Raises
    ------
    LifecycleError
        If no bundle or more than one begins with it.
    """
    wanted = prefix.lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},64}}", wanted):
        raise LifecycleError(
            f"Expected a bundle's digest, or at least its first {SHORTEST_PREFIX} hexadecimal digits, got {prefix!r}"
        )
    folder = root / "bundles"
    found = sorted(path.name for path in folder.glob(f"{wanted}*") if path.is_dir()) if folder.is_dir() else []
    if not found:
        raise LifecycleError(
            f"Expected a bundle with digest {wanted}{'' if len(wanted) == 64 else '...'}, found none - in {folder}; "
            "`lifecycle releases MODEL` shows those in use, the asset `model_version` in Dagster every other"
        )
    if len(found) > 1:
        raise LifecycleError(
            f"Expected the beginning of one bundle's digest, {wanted} begins {len(found)}: {', '.join(found[:_SHOWN])}"
            f"{', ...' if len(found) > _SHOWN else ''}; add digits - in {folder}"
        )
    return found[0]
