"""The part of a model's file that says how it is trained: windows, and the search."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from lifecycle.spec.base import Days, SpecModel
from lifecycle.spec.estimator import EstimatedSpec


class SearchSpec(SpecModel):
    """Hyperparameter search; its budget is a number of trials, never a time, so that it is reproducible."""

    trials: Annotated[int, Field(ge=1, le=1000)]
    patience: Annotated[int, Field(ge=2)] = 10
    """The search ends if the best of so many further trials is no standard error better than the best before them."""
    seed: int = 20180401
    metric: Literal["average_precision", "roc_auc"] = "average_precision"
    num_threads: Annotated[int, Field(ge=1)] = 1
    """Threads of one fit; the folds of a search are fitted in parallel with this many each."""


class TrainingSpec(EstimatedSpec):
    """Windows in periods of the cadence, counted back from ``as_of - maturity_days``, with a gap between two windows.

    ``train | gap | validation | gap | holdout | maturity | as_of``. A gap is `maturity_days`, and what is missing to a
    whole period. Each further validation fold is `fold_step` earlier.
    """

    train: Days
    validation: Days = 7
    validation_folds: Annotated[int, Field(ge=1, le=12)] = 1
    fold_step: Days = 7
    holdout: Days = 7
    search: SearchSpec | None = Field(default=None, validate_default=True)
    """Needed by `estimator: lightgbm`; an external model is not searched."""

    @field_validator("search")
    @classmethod
    def _search_fits_the_estimator(cls, search: SearchSpec | None, info: ValidationInfo) -> SearchSpec | None:
        estimator = info.data.get("estimator")
        if estimator is not None and estimator.external and search is not None:
            raise ValueError("Expected no search of an external model, which is judged as it is; remove the key")
        if estimator is not None and not estimator.external and search is None:
            raise ValueError("Expected a value, got none")
        return search

    @property
    def searched(self) -> SearchSpec:
        """The search, or for an external model one of which only the seed is used."""
        return self.search or SearchSpec(trials=1)
