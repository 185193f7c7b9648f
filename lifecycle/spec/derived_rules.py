"""What features and facts of a model may be, so that requests carry them and derived ones follow from them alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from lifecycle.spec.derived import DerivedError, check_fields
from lifecycle.spec.derived_sql import column_sql
from serving.contract.derivation import derived_from, is_derived, request_fields
from serving.contract.documents import Feature
from serving.contract.expressions import Derivation
from serving.contract.schema_rules import Violation, schema_violations


class _Described(Protocol):
    """A feature of a model's file."""

    def contract(self, time_column: str) -> Feature: ...


class ExampleColumns(NamedTuple):
    """Columns of the mart that are no fields of a request.

    `unknowable` maps columns that no expression may read and no fact may be to what each is: identifiers, and what is
    known only later. `reserved` are names that the training set or the drift check uses next to the features.
    """

    time: str
    amount: str | None
    unknowable: Mapping[str, str]
    reserved: tuple[str, ...]


def request_violations(
    described: Sequence[_Described], facts: tuple[Feature, ...], columns: ExampleColumns
) -> list[Violation]:
    """Everything that a request cannot carry or that cannot be derived from one, with the key at fault."""
    features: list[Feature] = []
    violations: list[Violation] = []
    for index, feature in enumerate(described):
        try:
            features.append(feature.contract(columns.time))
        except DerivedError as error:
            violations.append(Violation(str(error), f"features.{index}.from"))
    if violations:
        return violations
    violations = [
        *_unreadable_fields(features, facts, columns),
        *_pointless_facts(features, facts),
        *_unknowable_facts(facts, columns),
        *(_in_file(each) for each in schema_violations(features, columns.reserved, facts)),
    ]
    return violations or list(_unwritable(features, facts, columns.time))


def _unreadable_fields(
    features: Sequence[Feature], facts: tuple[Feature, ...], columns: ExampleColumns
) -> Iterator[Violation]:
    """Expressions that read something other than the fields of a request."""
    names = frozenset(field.name for field in request_fields(features, facts))
    forbidden = (
        {} if columns.amount is None else {columns.amount: "which a request carries only as a feature or a fact"}
    )
    forbidden |= {each.name: "which is derived; write out its expression" for each in features if is_derived(each)}
    forbidden |= columns.unknowable
    for index, feature in enumerate(features):
        if isinstance(feature.derivation, Derivation):
            try:
                check_fields(feature.derivation, names - set(columns.unknowable), forbidden, columns.time)
            except DerivedError as error:
                yield Violation(str(error), f"features.{index}.from")


def _pointless_facts(features: Sequence[Feature], facts: tuple[Feature, ...]) -> Iterator[Violation]:
    read = {name for feature in features if is_derived(feature) for name in derived_from(feature)}
    for index, fact in enumerate(facts):
        if fact.name not in read:
            message = f"Expected a derived feature that reads the fact {fact.name!r}, got none; leave the fact out"
            yield Violation(message, f"facts.{index}.name")


def _unknowable_facts(facts: tuple[Feature, ...], columns: ExampleColumns) -> Iterator[Violation]:
    for index, fact in enumerate(facts):
        if fact.name in columns.unknowable:
            message = f"Expected a fact that a model may use, got {fact.name!r}, {columns.unknowable[fact.name]}"
            yield Violation(message, f"facts.{index}.name")


def _in_file(violation: Violation) -> Violation:
    """A violation at the key of a model's file, which calls a derivation `from`."""
    message, key = violation
    above, _, last = key.rpartition(".")
    return Violation(message, f"{above}.from" if last == "derivation" else key)


def _unwritable(features: Sequence[Feature], facts: tuple[Feature, ...], time_column: str) -> Iterator[Violation]:
    """Expressions without a column in SQL."""
    fields = {field.name: field for field in request_fields(features, facts)}
    for index, feature in enumerate(features):
        if is_derived(feature):
            try:
                column_sql(feature, fields, time_column)
            except DerivedError as error:
                yield Violation(str(error), f"features.{index}.from")
