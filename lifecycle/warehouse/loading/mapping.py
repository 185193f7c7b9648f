"""Maps the columns of a file to the columns of a raw relation."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lifecycle.errors import LifecycleError
from lifecycle.spec.dbt_projects import MAPPINGS_DIR, read_yaml
from lifecycle.spec.suggestions import suggestion
from lifecycle.spec.yaml_faults import DuplicateKeyError, describe, with_lines
from lifecycle.warehouse.loading.value_checks import NumberText
from lifecycle.warehouse.raw_tables import Declarations, RawRelation

_NO_DERIVED = {"fraud_reports": None}
"""What the digest of a mapping without derived tables has held since the first version, so that files stay known."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DerivedRows(_Strict):
    """Rows of a table that refers to the loaded one, derived from a column that marks some of its rows."""

    flag: str
    """Source column: 1 or true for the rows to derive from, 0 or false for the others."""
    delay_days: Annotated[int, Field(ge=0, le=3650)]
    """Days from the event of a marked row to that of the derived one."""


class AmountText(_Strict):
    """How a CSV file writes amounts."""

    decimal: Literal[".", ","]
    thousands: Literal[".", ",", " ", "'", ""] = ""

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"Expected two separators that differ, got {self.decimal!r} twice - at `amounts`")
        return self


class MappingFile(_Strict):
    """The YAML file of a mapping."""

    name: str
    relation: str
    """The declared raw table that is loaded."""
    columns: dict[str, str]
    derived: dict[str, DerivedRows] = {}
    amounts: AmountText | None = None
    """Separators in the amounts of CSV files; by default a decimal point and no separator of thousands."""


@dataclass(frozen=True)
class ColumnMapping:
    """Source column of each column of a raw table, and the tables derived from the same file."""

    name: str
    table: RawRelation
    columns: Mapping[str, str]
    derived: Mapping[str, DerivedRows] = field(default_factory=dict)
    amounts: AmountText | None = None

    @property
    def relation(self) -> str:
        """Name of the raw table."""
        return self.table.name

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return tuple(dict.fromkeys([*self.columns.values(), *(rows.flag for rows in self.derived.values())]))

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
    def relations(self) -> tuple[str, ...]:
        """Raw tables that a load fills."""
        return (self.relation, *self.derived)

    @property
    def digest(self) -> str:
        """SHA-256 of the mapping without its name."""
        derived = {name: rows.model_dump() for name, rows in self.derived.items()}
        content = {"relation": self.relation, "columns": dict(self.columns), "derived": derived or _NO_DERIVED}
        # Without the keys that older mappings lack, so that their files stay known.
        if self.amounts is not None:
            content["amounts"] = self.amounts.model_dump()
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


def raw_mapping(table: RawRelation) -> ColumnMapping:
    """The mapping of a file whose columns have the raw table's names."""
    return ColumnMapping("raw", table, {name: name for name in table.column_names})


def read_mapping(path: Path, declared: Declarations) -> ColumnMapping:
    """Read a mapping from YAML.

    Raises
    ------
    LifecycleError
        If the file is missing or not a valid mapping; the message names the file, the key and the expectation.
    """
    try:
        file = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise LifecycleError(f"Expected a readable mapping, got {type(error).__name__} - at {path}") from None
    except DuplicateKeyError as error:
        raise LifecycleError(f"{error} - in {path}") from None
    except yaml.YAMLError as error:
        raise LifecycleError(f"Expected YAML, got: {error} - in {path}") from None
    try:
        found = MappingFile.model_validate(file.document)
    except ValidationError as error:
        raise LifecycleError(f"{describe(error, MappingFile, file)} - in {path}") from None
    faults = list(_faults(found, declared))
    if faults:
        raise LifecycleError(f"{with_lines('; '.join(faults), file)} - in {path}")
    return ColumnMapping(
        found.name, declared.tables[found.relation], found.columns, found.derived, found.amounts
    )  # fmt: skip


def _faults(mapping: MappingFile, declared: Declarations) -> Iterator[str]:
    """What does not fit the declared tables."""
    if mapping.relation not in declared.tables:
        near = suggestion(mapping.relation, declared.tables, "table")
        yield f"Expected a declared raw table, got {mapping.relation!r}{near} - at `relation`"
        return
    table = declared.tables[mapping.relation]
    required = table.column_names
    problems = [f"missing {name!r}" for name in required if name not in mapping.columns]
    problems += [f"unknown {name!r}{nearest(name, required)}" for name in mapping.columns if name not in required]
    if problems:
        yield f"Expected the columns {list(required)}, got {', '.join(problems)} - at `columns`"
    derivable = [other.name for other in declared.tables.values() if _is_derivable(other, table)]
    yield from (
        f"Expected a table that refers to {table.name} and has its key and a time only, such as "
        f"{', '.join(derivable) or 'none that is declared'}, got {name!r} - at `derived.{name}`"
        for name in mapping.derived
        if name not in derivable
    )


def _is_derivable(derived: RawRelation, table: RawRelation) -> bool:
    return (
        derived.refers_to == table.name
        and table.event_at is not None
        and set(derived.column_names) == {derived.key, derived.event_at}
    )


def recognise(relation: str, columns: Iterable[str], declared: Declarations) -> ColumnMapping:
    """The mapping for a file with these columns, in any case: the raw names first, then the table's known files.

    Those are the mappings of the dbt project that declares the table. If no mapping fits, returns the one with the
    smallest share of missing columns; the load then reports them.

    Raises
    ------
    LifecycleError
        If there is no such table, or a mapping of its project is faulty and the raw names do not fit.
    """
    present = {column.lower() for column in columns}

    def missing_share(mapping: ColumnMapping) -> float:
        return sum(name.lower() not in present for name in mapping.source_columns) / len(mapping.source_columns)

    table = declared.table(relation)
    raw = raw_mapping(table)
    if missing_share(raw) == 0:
        return raw
    known = [read_mapping(path, declared) for path in mapping_files(table.project)]
    return min([raw, *(mapping for mapping in known if mapping.relation == relation)], key=missing_share)


def mapping_files(project: Path) -> list[Path]:
    """Mappings of known files, which are beside the models of a dbt project."""
    return sorted(path for path in (project / MAPPINGS_DIR).glob("*") if path.suffix in {".yml", ".yaml"})
