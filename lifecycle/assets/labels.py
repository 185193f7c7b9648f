"""Owners, tags and kinds by which people find an asset in the Dagster UI."""

from typing import Literal, TypedDict

from lifecycle.spec.risk_model import RiskModelSpec

Stage = Literal["training", "release", "monitoring"]


class Labels(TypedDict):
    """Keyword arguments of `dagster.asset`."""

    owners: list[str]
    tags: dict[str, str]
    kinds: set[str]


def labels(spec: RiskModelSpec, stage: Stage, *kinds: str) -> Labels:
    """The labels of a model's asset."""
    return Labels(owners=owners(spec), tags={"model": spec.name, "stage": stage}, kinds=set(kinds))


def owners(spec: RiskModelSpec) -> list[str]:
    """The model's owner as Dagster writes it; empty if its file names no owner.

    Dagster takes an email address or ``team:NAME``.
    """
    if spec.owner is None:
        return []
    return [spec.owner if "@" in spec.owner else f"team:{spec.owner}"]
