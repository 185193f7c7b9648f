"""The schema of a model's `defs.yaml`, validated before anything runs.

Plain Pydantic without Dagster: the pure packages, the command line and the component share these types.
"""

import copy
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Sentence, SpecModel
from lifecycle.spec.cadence import EVERY_DAY, LONGEST_PERIOD_DAYS
from lifecycle.spec.decision import DecisionSpec
from lifecycle.spec.derived import derivation_of
from lifecycle.spec.derived_rules import ExampleColumns, request_violations
from lifecycle.spec.examples import ColumnsSpec, ExamplesSpec, LabelSpec
from lifecycle.spec.fairness import FairnessSpec, ProtectedSpec
from lifecycle.spec.fields import FieldSpec
from lifecycle.spec.gates import (
    CAPACITY_DECLINE_SHARE,
    CAPACITY_METRICS,
    CUT_OFF_DECLINE_SHARE,
    CUT_OFF_METRICS,
    GatesSpec,
)
from lifecycle.spec.input_checks import InputSpec
from lifecycle.spec.monitoring import DriftSpec, RetrainingSpec
from lifecycle.spec.older_keys import with_current_keys
from lifecycle.spec.slices import slice_faults
from lifecycle.spec.training import TrainingSpec
from serving.contract.derivation import DERIVED, is_derived, request_fields
from serving.contract.documents import Feature


class FeatureSpec(FieldSpec):
    """One input of the model: a column of the mart.

    A request carries it, or it is derived: the server computes `from`, one SQL expression over the fields of a request,
    and a dbt macro makes it the mart's column.
    """

    source: Literal["request", "derived"] = "request"
    expression: Annotated[str | None, Field(alias="from")] = None
    monotone: Literal[-1, 0, 1] = 0
    reason_group: str | None = None

    @model_validator(mode="after")
    def _derived_features_have_an_expression(self) -> Self:
        if (self.source == DERIVED) != (self.expression is not None):
            raise ValueError(
                "Expected an expression of a feature with source derived, and of no other, "
                f"got {'one' if self.expression else 'none'} with source {self.source} - at `from`"
            )
        return self

    def contract(self, time_column: str = "occurred_at") -> Feature:
        """This feature as the contract that the server reads.

        Parameters
        ----------
        time_column
            The mart's column of the event's time, as an expression names it.

        Raises
        ------
        DerivedError
            If the expression is no derived feature.
        """
        further: dict[str, Any] = {"source": self.source, "monotone": self.monotone, "reason_group": self.reason_group}
        if self.expression is not None:
            further["derivation"] = derivation_of(self.expression, time_column)
        return self.field(**further)


class ReasonTextsSpec(SpecModel):
    """Approved reason texts for a customer whose payment was declined or reviewed, by reason group."""

    version: Annotated[str, Field(min_length=1)]
    """Name of the wording. Change it with every change of a text: decisions are recorded with it."""
    texts: Annotated[dict[str, Annotated[str, Field(pattern=r"\S")]], Field(min_length=1)]


class PromotionSpec(SpecModel):
    """Whether the platform promotes a registered model, or a person with `lifecycle promote`; who approves first."""

    mode: Literal["auto", "manual"] = "manual"
    approvals: Literal["auto", "one", "two"] = "auto"
    """People who must approve a candidate before it answers requests; ``auto``: none (`gates.approval_policy`)."""
    approval_days: Annotated[int, Field(ge=1, le=366)] = 30
    """Days until an approval expires: a month, after which other data and another champion stand behind it."""
    approvers: Literal["name", "account"] = "name"
    """Which of an approval's identities tells people apart: the claimed name, or the account that it was written by."""


class CardSpec(SpecModel):
    """Statements of the model card that only people can make."""

    intended_use: Sentence
    limits: tuple[Sentence, ...]
    """Uses and situations that the model was not made for, and what its figures do not show."""


class TierSpec(SpecModel):
    """How much depends on the model, as the bank's own policy ranks its models; it is shown, and changes no gate.

    SR 26-2 (17 April 2026) measures a model's materiality by its exposure and its purpose.
    """

    level: Literal["high", "medium", "low"]
    reason: Sentence
    """The exposure and the purpose that set the level."""

    @property
    def text(self) -> str:
        """Level and reason."""
        return f"{self.level}: {self.reason}"


class RiskModelSpec(SpecModel):
    """A model: one file and one mart."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    description: str = ""
    owner: Sentence | None = None
    """Team or person who answers for the model: a name or an email address."""
    tier: TierSpec | None = None
    examples: ExamplesSpec
    first_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """No partition is earlier; the first one is the first day of the loaded data."""
    features: Annotated[tuple[FeatureSpec, ...], Field(min_length=1)]
    facts: tuple[FieldSpec, ...] = ()
    """Columns of the mart that a request carries because derived features follow from them, and that are no inputs."""
    card: CardSpec | None = None
    """Without it the model card says that these statements are missing."""
    reason_texts: ReasonTextsSpec | None = None
    """Without texts the server gives no reasons; with texts every feature has a group and each group a text."""
    label: LabelSpec
    protected: ProtectedSpec | None = None
    """Without it the gate `fair_by_group` is inconclusive and blocks."""
    fairness: FairnessSpec = FairnessSpec()
    training: TrainingSpec
    decision: DecisionSpec
    gates: GatesSpec
    input: InputSpec = InputSpec()
    promotion: PromotionSpec = PromotionSpec()
    drift: DriftSpec = DriftSpec()
    retraining: RetrainingSpec = RetrainingSpec()
    monitor_at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "02:30"
    """UTC time of the daily monitoring of yesterday."""
    profiles: dict[str, dict[str, Any]] = Field(default={})
    """Overrides by profile, for example short windows for a demonstration."""

    @model_validator(mode="before")
    @classmethod
    def _current_keys(cls, document: Any) -> Any:
        return with_current_keys(document) if isinstance(document, dict) else document

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_cadence(cls, document: Any) -> Any:
        if not isinstance(document, dict) or not isinstance(document.get("examples"), dict):
            return document
        cadence = document["examples"].get("cadence", "event")
        # One that is not known is a fault of its own, which the schema names.
        longest: dict[Any, int] = {name: days for name, days in LONGEST_PERIOD_DAYS.items() if name not in EVERY_DAY}
        if not isinstance(cadence, str) or cadence not in longest:
            return document
        days = longest[cadence]
        weeks = 7 * -(-days // 7)
        defaults = {"input": {"maximum_age_hours": 24 * days + 30}, "drift": {"window_days": weeks}}
        given = {name: document.get(name, {}) for name in defaults}
        return document | {
            name: part | given[name] if isinstance(given[name], dict) else given[name]
            for name, part in defaults.items()
        }

    @model_validator(mode="after")
    def _requests_can_carry_the_features(self) -> Self:
        violations = request_violations(self.features, self.contract_facts, self._example_columns)
        if violations:
            raise ValueError("; ".join(f"{message} - at `{key}`" for message, key in violations))
        return self

    @model_validator(mode="after")
    def _metric_fits_the_decisions(self) -> Self:
        others, kind = (
            (CAPACITY_METRICS, "cut-offs") if self.decision.capacity is None else (CUT_OFF_METRICS, "capacity")
        )
        if self.gates.metric in others:
            raise ValueError(f"Expected a metric of decisions by {kind}, got {self.gates.metric!r} - at `gates.metric`")
        return self

    @model_validator(mode="after")
    def _no_input_is_protected(self) -> Self:
        columns = self.protected.columns if self.protected else ()
        found = [
            f"Expected no protected attribute among the features, got {feature.name!r} - at `features.{index}.name`"
            for index, feature in enumerate(self.features)
            if feature.name in columns
        ]
        if found:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _intersections_are_protected(self) -> Self:
        columns = self.protected.columns if self.protected else ()
        found = [
            f"Expected protected columns {list(columns)}, got {name!r} - at `fairness.intersections.{index}`"
            for index, names in enumerate(self.fairness.intersections)
            for name in names
            if name not in columns
        ]
        if found:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _slices_are_of_features(self) -> Self:
        found = list(slice_faults(self.gates.slices, self.features))
        if found:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _costs_have_amounts(self) -> Self:
        costs = self.decision.costs
        if costs is not None and costs.missed == "amount" and self.columns.amount is None:
            raise ValueError(
                "Expected `examples.columns.amount` with costs by amount, got none - at `decision.costs.missed`"
            )
        return self

    @model_validator(mode="after")
    def _reason_groups_and_texts_match(self) -> Self:
        if self.reason_texts is None:
            return self
        ungrouped = [feature.name for feature in self.features if not feature.reason_group]
        if ungrouped:
            raise ValueError(f"Expected a reason_group for every feature, missing for {ungrouped} - at `features`")
        groups, texts = {feature.reason_group for feature in self.features}, set(self.reason_texts.texts)
        if groups != texts:
            raise ValueError(
                f"Expected a text for each reason group, missing {sorted(filter(None, groups - texts))}, "
                f"without a feature {sorted(texts - groups)} - at `reason_texts.texts`"
            )
        return self

    @model_validator(mode="after")
    def _window_is_possible(self) -> Self:
        if self.training.train < self.training.holdout:
            raise ValueError(
                f"Expected training.train of at least training.holdout = {self.training.holdout}, "
                f"got {self.training.train}"
            )
        return self

    @property
    def maximum_decline_share(self) -> float:
        """The bound of the gate `bounded_declines`: `gates.maximum_decline_share`, or its default."""
        if self.gates.maximum_decline_share is not None:
            return self.gates.maximum_decline_share
        return CUT_OFF_DECLINE_SHARE if self.decision.capacity is None else CAPACITY_DECLINE_SHARE

    @property
    def relations(self) -> tuple[str, ...]:
        """Dbt models that the model reads: its mart and, with labels by report, its outcomes."""
        return (self.mart, self.label.relation) if self.label.relation else (self.mart,)

    @property
    def mart(self) -> str:
        """The dbt model with one row per example."""
        return self.examples.mart

    @property
    def columns(self) -> ColumnsSpec:
        """The columns of the mart that are no features."""
        return self.examples.columns

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the inputs in schema order."""
        return tuple(feature.name for feature in self.features)

    @property
    def _example_columns(self) -> ExampleColumns:
        unknowable = {self.columns.id: "the example's id", self.columns.entity: "the entity"}
        outcome = filter(None, (*self.label.columns, self.label.withdrawn_at))
        unknowable |= dict.fromkeys(outcome, "the label, which is known only later")
        # Next to the features, the training set has the label and the drift check has the score.
        reserved = (*self.label.columns, "score")
        return ExampleColumns(self.columns.occurred_at, self.columns.amount, unknowable, reserved)

    @property
    def contract_features(self) -> tuple[Feature, ...]:
        """The inputs as the contract that the server reads."""
        return tuple(feature.contract(self.columns.occurred_at) for feature in self.features)

    @property
    def contract_facts(self) -> tuple[Feature, ...]:
        """The facts as the contract that the server reads."""
        return tuple(fact.field() for fact in self.facts)

    @property
    def request_fields(self) -> tuple[Feature, ...]:
        """What a request carries: the inputs that are not derived, then the facts."""
        return request_fields(self.contract_features, self.contract_facts)

    @property
    def has_derived_features(self) -> bool:
        """Whether the server computes any input."""
        return any(is_derived(feature) for feature in self.contract_features)

    def with_profile(self, profile: str | None) -> "RiskModelSpec":
        """This specification with the overrides of a profile; unchanged if the model has no such profile.

        Raises
        ------
        ValueError
            If the merged specification is invalid.
        """
        if profile is None or profile not in self.profiles:
            return self
        return RiskModelSpec.model_validate(
            _merged(self.model_dump(by_alias=True), with_current_keys(self.profiles[profile]))
        )


def _merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`base` with `overrides`; dictionaries are merged key by key."""
    result = copy.copy(base)
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result
