"""Maps the columns of a file to the columns of a raw relation."""

import difflib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lifecycle.errors import LifecycleError
from lifecycle.spec.yaml_faults import DuplicateKeyError, YamlFile, describe
from lifecycle.warehouse.loading.value_checks import NumberText
from lifecycle.warehouse.raw_tables import RAW, RelationName

MAPPINGS_DIR = Path(__file__).parent / "mappings"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DerivedReports(_Strict):
    """Fraud reports derived from a column that marks fraudulent transactions."""

    flag: str
    """Source column: 1 or true for frauds, 0 or false for other transactions."""
    delay_days: Annotated[int, Field(ge=0, le=3650)]
    """Days from a fraud to its report."""


class Derived(_Strict):
    """Further raw relations that are filled from the same file."""

    fraud_reports: DerivedReports | None = None


class AmountText(_Strict):
    """How a CSV file writes amounts."""

    decimal: Literal[".", ","]
    thousands: Literal[".", ",", " ", "'", ""] = ""

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"Expected two separators that differ, got {self.decimal!r} twice - at `amounts`")
        return self


class ColumnMapping(_Strict):
    """Source column of each column of a raw relation, and the relations derived from the same file."""

    name: str
    relation: RelationName
    columns: dict[str, str]
    derived: Derived = Derived()
    amounts: AmountText | None = None
    """Separators in the amounts of CSV files; by default a decimal point and no separator of thousands."""

    @model_validator(mode="after")
    def _columns_are_those_of_the_relation(self) -> Self:
        required = RAW[self.relation].column_names
        problems = [f"missing {name!r}" for name in required if name not in self.columns]
        problems += [f"unknown {name!r}{nearest(name, required)}" for name in self.columns if name not in required]
        if problems:
            raise ValueError(f"Expected the columns {list(required)}, got {', '.join(problems)} - at `columns`")
        if self.derived.fraud_reports and self.relation != "card_transactions":
            raise ValueError(
                f"Expected relation card_transactions with derived fraud_reports, got {self.relation} - at `derived`"
            )
        return self

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        reports = self.derived.fraud_reports
        return tuple(dict.fromkeys([*self.columns.values(), *([reports.flag] if reports else [])]))

    def has_source(self, column: str) -> bool:
        """Whether a column of a file is mapped, differences of case ignored."""
        return column.lower() in {name.lower() for name in self.source_columns}

    def number_text(self, delimiter: str | None) -> NumberText:
        """How a file with this delimiter writes amounts.

        Spreadsheets write a delimiter other than the comma where the comma separates decimals; the point may then
        separate thousands.
        """
        if self.amounts:
            return NumberText(self.amounts.decimal, self.amounts.thousands)
        return NumberText(is_ambiguous=delimiter not in (",", None))

    @property
    def relations(self) -> tuple[RelationName, ...]:
        """Raw relations that a load fills."""
        return (self.relation, "fraud_reports") if self.derived.fraud_reports else (self.relation,)

    @property
    def digest(self) -> str:
        """SHA-256 of the mapping without its name."""
        # Without the keys that older mappings lack, so that their files stay known.
        unset = {"amounts"} if self.amounts is None else set()
        content = self.model_dump(exclude={"name", *unset})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Hint at the candidate most similar to `name`, ignoring case; empty if no candidate is similar.

    Examples
    --------
    >>> nearest("ammount", ["amount", "occurred_at"])
    " (did you mean 'amount'?)"
    >>> nearest("x", ["amount"])
    ''
    """
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[close[0]]!r}?)" if close else ""


def raw_mapping(relation: RelationName) -> ColumnMapping:
    """The mapping of a file whose columns have the raw relation's names."""
    return ColumnMapping(name="raw", relation=relation, columns={name: name for name in RAW[relation].column_names})


def read_mapping(path: Path) -> ColumnMapping:
    """Read a mapping from YAML.

    Raises
    ------
    LifecycleError
        If the file is missing or not a valid mapping; the message names the file, the key and the expectation.
    """
    try:
        file = YamlFile(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise LifecycleError(f"Expected a readable mapping, got {type(error).__name__} - at {path}") from None
    except DuplicateKeyError as error:
        raise LifecycleError(f"{error} - in {path}") from None
    except yaml.YAMLError as error:
        raise LifecycleError(f"Expected YAML, got: {error} - in {path}") from None
    try:
        return ColumnMapping.model_validate(file.document)
    except ValidationError as error:
        raise LifecycleError(f"{describe(error, ColumnMapping, file)} - in {path}") from None


def recognise(relation: RelationName, columns: Iterable[str]) -> ColumnMapping:
    """The mapping for a file with these columns, in any case: the raw names first, then the mappings of this package.

    If no mapping fits, returns the one with the smallest share of missing columns; the load then reports them.
    """
    present = {column.lower() for column in columns}
    shipped = [read_mapping(path) for path in sorted(MAPPINGS_DIR.glob("*.yaml"))]
    candidates = [raw_mapping(relation), *(mapping for mapping in shipped if mapping.relation == relation)]

    def missing_share(mapping: ColumnMapping) -> float:
        return sum(name.lower() not in present for name in mapping.source_columns) / len(mapping.source_columns)

    return min(candidates, key=missing_share)
