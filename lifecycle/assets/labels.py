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
    """The owner that the model's card names, as Dagster writes it; none if there is no card.

    Dagster takes an email address or ``team:NAME``.
    """
    if spec.card is None:
        return []
    return [spec.card.owner if "@" in spec.card.owner else f"team:{spec.card.owner}"]
