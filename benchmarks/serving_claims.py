"""Claims of the serving benchmarks, checked against the measurements; output as tables or as one JSON document."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving_servers import Cores


@dataclass(frozen=True)
class Claim:
    """One claim: the observed value, its limit, and whether the claim holds."""

    claim: str
    observed: float
    limit: float
    is_upper: bool
    holds: bool

    def __str__(self) -> str:
        sign = "<=" if self.is_upper else ">="
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        return f"{verdict:14} {self.claim}: {self.observed:,.3f} (required {sign} {self.limit:,.3f})"


def at_most(claim: str, observed: float, limit: float) -> Claim:
    """A claim that something is no larger than a limit.

    Examples
    --------
    >>> at_most("p99 ratio", 2.5, 3.0).holds, at_most("failures", float("nan"), 0).holds
    (True, False)
    """
    return Claim(claim, observed, limit, is_upper=True, holds=observed <= limit)


def at_least(claim: str, observed: float, limit: float) -> Claim:
    """A claim that something is no smaller than a limit."""
    return Claim(claim, observed, limit, is_upper=False, holds=observed >= limit)


def machine(cores: Cores) -> dict[str, Any]:
    """The machine of the measurement."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "server_cores": sorted(cores.servers),
        "load_cores": sorted(cores.load),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def note(text: str) -> None:
    """Print a note to stderr; stdout holds one document or the tables."""
    print(text, file=sys.stderr, flush=True)


def note_cores(cores: Cores) -> None:
    """Note that servers and load share cores, where they do."""
    if not cores.are_apart:
        note("note: one core for the servers and the load, which take from each other; only ratios mean anything")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows under headings.

    Parameters
    ----------
    columns
        Format specification by key, such as ``",.0f"``; the first column is text.
    """
    if not rows:
        return
    first, *others = columns
    width = max(len(first), *(len(str(row[first])) for row in rows))
    widths = {key: max(len(key), *(len(_cell(row.get(key), columns[key])) for row in rows)) for key in others}
    print("  ".join([f"{first:{width}}", *(f"{key:>{widths[key]}}" for key in others)]))
    for row in rows:
        cells = (f"{_cell(row.get(key), columns[key]):>{widths[key]}}" for key in others)
        print("  ".join([f"{row[first]!s:{width}}", *cells]))
    print()


def print_claims(claims: Sequence[Claim]) -> None:
    """Print the claims."""
    for claim in claims:
        print(claim)


def as_documents(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """The claims as JSON-ready documents."""
    return [asdict(claim) for claim in claims]


def print_document(document: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=1))


def exit_code(claims: Sequence[Claim]) -> int:
    """1 if a claim does not hold, each such claim on a line of stderr."""
    broken = [claim for claim in claims if not claim.holds]
    for claim in broken:
        note(f"{claim}")
    return 1 if broken else 0


def _cell(value: Any, specification: str) -> str:
    return "" if value is None else format(value, specification)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.processor()
