"""The part of a model's file that says what an example is, and how its outcome becomes known."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lifecycle.spec.base import Days, Sentence, SpecModel

Cadence = Literal["event", "daily", "weekly", "monthly"]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ColumnsSpec(SpecModel):
    """Columns of the mart that identify an example, whom it is about, its time and its amount."""

    id: Identifier = "transaction_id"
    """Whole number or text; names an example once and for all."""
    entity: Identifier = "customer_id"
    """Card, client or account; the examples of one entity are not independent."""
    occurred_at: Identifier = "occurred_at"
    amount: Identifier | None = None
    """What is at stake in an example; without it there is no recall by value."""


class ExamplesSpec(SpecModel):
    """The mart with one row per example."""

    mart: Identifier
    """dbt model with the columns below and the features."""
    arrives_in: Identifier | None = None
    """Raw table, or dbt model of one, in which the examples arrive: its rows are counted to find what is missing.
    ``None``: the table in which the mart's rows begin, found in the dbt project."""
    population: Sentence | None = None
    """SQL condition on a row of `arrives_in`: which of its rows are examples. ``None``: all of them."""
    cadence: Cadence = "event"
    """How examples come: at any time, or once a day, week or month. Windows are counted in such periods."""
    columns: ColumnsSpec = ColumnsSpec()
    clusters: tuple[Identifier, ...] = ()
    """Columns of the mart by which examples belong together, in addition to the entity: whole numbers or texts, such as
    the terminal. Intervals of a comparison then cover what cards alone leave out."""

    @model_validator(mode="after")
    def _clusters_are_other_columns(self) -> Self:
        columns = self.columns
        taken = {columns.id, columns.entity, columns.occurred_at}
        wrong = [name for place, name in enumerate(self.clusters) if name in taken or name in self.clusters[:place]]
        if wrong:
            raise ValueError(
                f"Expected columns other than the example's id, entity and time, each once, got {wrong} - at `clusters`"
            )
        return self


class LabelNames(SpecModel):
    """What the model's people call the two outcomes."""

    positive: Sentence = "positive"
    negative: Sentence = "negative"


class LabelSpec(SpecModel):
    """Source of the outcomes, and the time until they are complete.

    By report: `relation` has a row for each reported example, and what is not reported within `maturity_days` is
    negative. By column: the mart has the outcome in `column`, known since `known_at`; an example whose outcome is not
    known is left out and counted.
    """

    relation: Identifier | None = None
    """dbt model with one row per reported example: its id, its `occurred_at` and `reported_at`."""
    reported_at: Identifier = "reported_at"
    withdrawn_at: Identifier | None = None
    """Column with the time from which a report no longer counts, null for most; several rows of one example must
    not overlap. ``None`` if reports are never withdrawn."""
    column: Identifier | None = None
    """Column of the mart: 1 or true for the positive outcome, 0 or false for the negative one, null if unknown."""
    known_at: Identifier | None = None
    """Column of the mart with the time at which the outcome became known, null if it is not."""
    maturity_days: Days
    """Waiting time after which an example's outcome may be read."""
    names: LabelNames = LabelNames()

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.relation is None) == (self.column is None):
            raise ValueError("Expected one of `relation` (by report) and `column` (by column of the mart)")
        if (self.column is None) != (self.known_at is None):
            raise ValueError("Expected `column` and `known_at` together")
        if self.column is not None and self.withdrawn_at is not None:
            raise ValueError("Expected no `withdrawn_at` with `column`: only reports are withdrawn")
        return self

    @property
    def known_column(self) -> str:
        """Column of a training set with the time at which a label became known, null if it did not."""
        return self.known_at or self.reported_at

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a training set that hold the outcome."""
        return (self.known_column,) if self.column is None else (self.known_column, self.column)
