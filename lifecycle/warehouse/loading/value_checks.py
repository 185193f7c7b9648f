"""SQL that converts a source column to its raw column and detects faulty values."""

from dataclasses import dataclass

from lifecycle.warehouse.raw_tables import Column

FLAG = "FLAG"
"""Pseudo-type of a boolean column: 1, 0, true, false."""

NOISE_BELOW = 1e-6
"""A smaller distance from whole cents is floating-point noise; a larger one means more than two decimals."""
_AMOUNT_BELOW = 1e10
"""DECIMAL(12,2) has ten digits before the point."""

_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
)
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_TIMESTAMPS = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"})
_ZONED = "TIMESTAMP WITH TIME ZONE"

_INTEGER_TEXT = r"\s*-?[0-9]+\s*"
_NUMBER_TEXT = r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*"
_CLOCK_TEXT = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
_MOMENT_TEXT = rf"\s*[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK_TEXT}(Z|[-+][0-9]{{2}}(:[0-9]{{2}})?)?\s*"

_EXPECTED = {
    "BIGINT": "a whole number",
    "TIMESTAMP": "a date with a time of day (UTC, or with an offset; at most microseconds)",
    "DECIMAL(12,2)": "a number",
    "VARCHAR": "text that is not blank",
    FLAG: "0, 1, true or false",
}


@dataclass(frozen=True)
class Fault:
    """One fault of a value: the SQL condition that detects it, and its description."""

    condition: str
    expected: str
    got: str


@dataclass(frozen=True)
class Cast:
    """`value` is SQL of the raw column's type; it is null for values with one of the `faults`."""

    value: str
    faults: tuple[Fault, ...]


def expected_of(target: Column) -> str:
    """Description of a valid value of this column."""
    return _EXPECTED[target.type]


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def cast_column(source: str, source_type: str, target: Column) -> Cast | None:
    """SQL that converts column `source` of DuckDB type `source_type` to `target`; ``None`` for unsuitable types."""
    name = quoted(source)
    parsed = _parsed(name, source_type, target.type)
    if parsed is None:
        return None
    where = f"column {source}"
    faults = [
        Fault(f"{name} is null", f"a value in {where}", "null"),
        Fault(f"{name} is not null and {parsed} is null", f"{expected_of(target)} in {where}", "another kind of value"),
    ]
    if target.type != "DECIMAL(12,2)":
        return Cast(parsed, tuple(faults))
    cents = f"round({parsed}, 2)"
    faults += [
        Fault(f"{cents} < 0", f"amounts of at least 0 in {where}", "negative"),
        Fault(
            f"abs({parsed} - {cents}) >= {NOISE_BELOW}", f"amounts of at most 2 decimals in {where}", "further decimals"
        ),
        Fault(f"abs({cents}) >= {_AMOUNT_BELOW}", f"amounts below 10,000,000,000 in {where}", "larger"),
    ]
    return Cast(f"try_cast({cents} as decimal(12,2))", tuple(faults))


def _parsed(name: str, source_type: str, target_type: str) -> str | None:
    """SQL of the value as BIGINT, TIMESTAMP, DOUBLE (for amounts), VARCHAR or BOOLEAN; null if it cannot be parsed."""
    match target_type:
        case "BIGINT":
            return _integer(name, source_type)
        case "TIMESTAMP":
            return _moment(name, source_type)
        case "DECIMAL(12,2)":
            return _number(name, source_type)
        case "VARCHAR":
            return _text(name, source_type)
        case "FLAG":
            return _flag(name, source_type)
    raise ValueError(f"Expected one of the raw relations' types, got {target_type}")


def _integer(name: str, source_type: str) -> str | None:
    if source_type in _INTEGERS:
        return f"try_cast({name} as bigint)"
    if source_type in _FLOATS:
        # Beyond 2^53 adjacent whole numbers share one double: two ids could become one.
        return (
            f"case when {name} = floor({name}) and abs({name}) < 9007199254740992 then try_cast({name} as bigint) end"
        )
    if source_type.startswith("DECIMAL"):
        return f"case when {name} = floor({name}) then try_cast({name} as bigint) end"
    if source_type == "VARCHAR":
        # A bare cast would read '1.5' as 2, '0x1F' as 31 and '1_000' as 1000.
        return f"case when regexp_full_match({name}, '{_INTEGER_TEXT}') then try_cast({name} as bigint) end"
    return None


def _moment(name: str, source_type: str) -> str | None:
    if source_type in _TIMESTAMPS:
        return f"case when isfinite({name}::timestamp) then {name}::timestamp end"
    if source_type == "TIMESTAMP_NS":
        return f"case when epoch_ns({name}) % 1000 = 0 then {name}::timestamp end"
    if source_type == _ZONED:
        return f"case when isfinite({name}) then {name} at time zone 'UTC' end"
    if source_type == "VARCHAR":
        # Cast to a zoned timestamp first: a cast to TIMESTAMP drops the offset instead of applying it.
        zoned = f"try_cast({name} as timestamptz)"
        return f"case when regexp_full_match({name}, '{_MOMENT_TEXT}') then {zoned} at time zone 'UTC' end"
    return None


def _number(name: str, source_type: str) -> str | None:
    if source_type in _INTEGERS or source_type.startswith("DECIMAL"):
        return f"{name}::double"
    if source_type in _FLOATS:
        return f"case when isfinite({name}) then {name}::double end"
    if source_type == "VARCHAR":
        finite = f"isfinite(try_cast({name} as double))"
        return f"case when regexp_full_match({name}, '{_NUMBER_TEXT}') and {finite} then try_cast({name} as double) end"
    return None


def _text(name: str, source_type: str) -> str | None:
    if source_type == "VARCHAR" or source_type.startswith("ENUM"):
        return f"case when trim({name}::varchar) <> '' then {name}::varchar end"
    if source_type in _INTEGERS:
        return f"{name}::varchar"
    return None


def _flag(name: str, source_type: str) -> str | None:
    if source_type == "BOOLEAN":
        return name
    if source_type in _INTEGERS or source_type in _FLOATS or source_type.startswith("DECIMAL"):
        return f"case when {name} = 1 then true when {name} = 0 then false end"
    if source_type == "VARCHAR":
        folded = f"lower(trim({name}))"
        return f"case when {folded} in ('1', 'true') then true when {folded} in ('0', 'false') then false end"
    return None
