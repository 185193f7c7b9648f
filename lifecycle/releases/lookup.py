"""Models, candidates and bundles by what a person types: a name with suggestions, a digest by its unique beginning."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from lifecycle.errors import LifecycleError
from lifecycle.spec.model_files import model_names
from lifecycle.spec.suggestions import suggestion

SHORTEST_PREFIX = 4
_SHOWN = 5
_SHOWN_DIGITS = 12


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


def candidate_by_prefix(model: str, prefix: str, candidates: Mapping[str, str]) -> str:
    """Digest of the one candidate that begins with `prefix`, of at least four digits.

    Parameters
    ----------
    candidates
        Date of each candidate of the model by its digest.

    Raises
    ------
    LifecycleError
        If no candidate or more than one begins with it; with the newest ones, or all that do.
    """
    wanted = _digits(prefix, "candidate")
    found = sorted(digest for digest in candidates if digest.startswith(wanted))
    if len(found) == 1:
        return found[0]
    if found:
        raise LifecycleError(
            f"Expected the beginning of one candidate's digest, {wanted} begins {len(found)}: "
            f"{', '.join(found[:_SHOWN])}{', ...' if len(found) > _SHOWN else ''}; add digits"
        )
    newest = sorted(candidates, key=lambda digest: (candidates[digest], digest), reverse=True)[:_SHOWN]
    similar = difflib.get_close_matches(wanted[:_SHOWN_DIGITS], [digest[:_SHOWN_DIGITS] for digest in candidates])
    shown = ", ".join(f"{digest[:_SHOWN_DIGITS]} (as of {candidates[digest]})" for digest in newest)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"the newest are {shown}" if shown else (
        "no candidate exists yet: `lifecycle train MODEL --as-of DATE` makes one"
    )  # fmt: skip
    raise LifecycleError(f"Expected a candidate of {model} with digest {wanted}, found none; {hint}")


def _digits(prefix: str, kind: str) -> str:
    wanted = prefix.lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},64}}", wanted):
        raise LifecycleError(
            f"Expected a {kind}'s digest, or at least its first {SHORTEST_PREFIX} hexadecimal digits, got {prefix!r}"
        )
    return wanted


def bundle_by_prefix(root: Path, prefix: str) -> str:
    """Digest of the one bundle of the release store that begins with `prefix`, of at least four digits.

    Raises
    ------
    LifecycleError
        If no bundle or more than one begins with it.
    """
    wanted = _digits(prefix, "bundle")
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
