"""`RiskModel`: the type that a model's file names, with its schema for editors and for `dg check`."""

from typing import Self

import dagster as dg
from pydantic import BaseModel

from lifecycle.components.model_definitions import model_definitions
from lifecycle.errors import LifecycleError
from lifecycle.settings.platform import Settings
from lifecycle.spec.risk_model import RiskModelSpec


class RiskModel(dg.Component):
    """A risk model: features, label and its maturity, windows, search, alert capacity, gates, promotion, drift."""

    def __init__(self, spec: RiskModelSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of the `attributes` in `defs.yaml`."""
        return RiskModelSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Read the attributes, with the overrides of the active profile.

        Raises
        ------
        LifecycleError
            If the file has no attributes.
        """
        if not isinstance(attributes, RiskModelSpec):
            raise LifecycleError(f"Expected the attributes of a risk model, got none - in {context.path / 'defs.yaml'}")
        return cls(attributes.with_profile(Settings().profile))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """All Dagster definitions of this model."""
        return model_definitions(self.spec)
