"""SQL that converts a source column to its raw column and detects faulty values."""

import re
from dataclasses import dataclass

from lifecycle.warehouse.raw_tables import Column

FLAG = "FLAG"
"""Pseudo-type of a boolean column: 1, 0, true, false."""

NOISE_BELOW = 1e-6
"""A smaller distance from whole cents is floating-point noise; a larger one means more than two decimals."""
_AMOUNT_BELOW = 1e10
"""DECIMAL(12,2) has ten digits before the point."""
_FLOAT_AMOUNT_BELOW = 131_072
"""From 2^17, adjacent 32-bit floats are more than a cent apart; below, the shortest text of each names its cent."""
EARLIEST = "1990-01-01"
"""Earlier times are sentinels: zero of DOS (1980), Unix (1970), Excel (1900), or year 1. The windows of features need
times after 1970, and the weekday ones after 1900."""
LATEST_DAYS = 1
"""Later times after the load are sentinels (9999, 2300) or wrong clocks: a local time that was taken for UTC is at most
14 hours ahead."""

_INTEGERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
)
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_TIMESTAMPS = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"})
_ZONED = "TIMESTAMP WITH TIME ZONE"
_ZONED_NS = "TIMESTAMPTZ_NS"

_INTEGER_TEXT = r"\s*-?[0-9]+\s*"
_CLOCK_TEXT = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
_OFFSET_TEXT = r"[-+](0[0-9]|1[0-4])(:?[0-5][0-9])?"
_UTC_TEXT = "(Z|UTC|GMT)"
_REGION_TEXT = r"(\[[A-Za-z0-9_/+-]+\])?"
"""Java's ZonedDateTime adds the region's name to the offset, which decides."""
_MOMENT_TEXT = (
    rf"\s*[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK_TEXT}( ?({_UTC_TEXT}|{_OFFSET_TEXT}){_REGION_TEXT})?\s*"
)

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
class NumberText:
    """How a text file writes amounts.

    With `is_ambiguous`, nothing states whether the point in 1.500 separates decimals or thousands.
    """

    decimal: str = "."
    thousands: str = ""
    is_ambiguous: bool = False

    @property
    def pattern(self) -> str:
        """Regular expression of one amount."""
        decimal, thousands = re.escape(self.decimal), re.escape(self.thousands)
        grouped = rf"[0-9]{{1,3}}({thousands}[0-9]{{3}})+|" if thousands else ""
        exponent = "([eE][-+]?[0-9]+)?" if self.decimal == "." and not thousands else ""
        return rf"\s*[-+]?(({grouped}[0-9]+)({decimal}[0-9]*)?|{decimal}[0-9]+){exponent}\s*"

    def as_point(self, name: str) -> str:
        """SQL of the text with a decimal point and without separators of thousands."""
        bare = f"replace({name}, {_literal(self.thousands)}, '')" if self.thousands else name
        return bare if self.decimal == "." else f"replace({bare}, {_literal(self.decimal)}, '.')"


PLAIN = NumberText()
_AMBIGUOUS_TEXT = r"\s*[-+]?[0-9]{1,3}\.[0-9]{3}\s*"


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


def cast_column(source: str, source_type: str, target: Column, numbers: NumberText = PLAIN) -> Cast | None:
    """SQL that converts column `source` of DuckDB type `source_type` to `target`; ``None`` for unsuitable types."""
    name = quoted(source)
    parsed = _parsed(name, source_type, target.type, numbers)
    if parsed is None:
        return None
    where = f"column {source}"
    faults = [
        Fault(f"{name} is null", f"a value in {where}", "null"),
        Fault(f"{name} is not null and {parsed} is null", f"{expected_of(target)} in {where}", "another kind of value"),
    ]
    if target.type == "TIMESTAMP":
        return Cast(parsed, (*faults, *_time_faults(parsed, where)))
    if target.type != "DECIMAL(12,2)":
        return Cast(parsed, tuple(faults))
    cents = f"round({parsed}, 2)"
    return Cast(
        f"try_cast({cents} as decimal(12,2))",
        (*faults, *_amount_faults(name, source_type, parsed, cents, where, numbers)),
    )


def _time_faults(parsed: str, where: str) -> tuple[Fault, ...]:
    latest = f"(now() at time zone 'UTC') + to_days({LATEST_DAYS})"
    return (
        Fault(f"{parsed} < timestamp '{EARLIEST}'", f"times from {EARLIEST} on in {where}", "earlier"),
        Fault(f"{parsed} > {latest}", f"times at most {LATEST_DAYS} day after the load in {where}", "later"),
    )


def _amount_faults(
    name: str, source_type: str, parsed: str, cents: str, where: str, numbers: NumberText
) -> tuple[Fault, ...]:
    faults = [
        Fault(f"{cents} < 0", f"amounts of at least 0 in {where}, refunds left out", "negative"),
        Fault(
            f"abs({parsed} - {cents}) >= {NOISE_BELOW}", f"amounts of at most 2 decimals in {where}", "further decimals"
        ),
        Fault(f"abs({cents}) >= {_AMOUNT_BELOW}", f"amounts below 10,000,000,000 in {where}", "larger"),
    ]
    if source_type == "FLOAT":
        expected = f"amounts below {_FLOAT_AMOUNT_BELOW:,} in the 32-bit floats of {where}, which hold no cents beyond"
        faults.append(Fault(f"abs({parsed}) >= {_FLOAT_AMOUNT_BELOW}", expected, "larger"))
    if source_type == "VARCHAR" and numbers.is_ambiguous:
        faults.append(
            Fault(
                f"regexp_full_match({name}, '{_AMBIGUOUS_TEXT}')",
                f'the decimal separator of {where} in a mapping, such as `amounts: {{decimal: "."}}`',
                "with a point before three digits, of thousands or of decimals",
            )
        )
    return tuple(faults)


def _parsed(name: str, source_type: str, target_type: str, numbers: NumberText) -> str | None:
    """SQL of the value as BIGINT, TIMESTAMP, DOUBLE (for amounts), VARCHAR or BOOLEAN; null if it cannot be parsed."""
    match target_type:
        case "BIGINT":
            return _integer(name, source_type)
        case "TIMESTAMP":
            return _moment(name, source_type)
        case "DECIMAL(12,2)":
            return _number(name, source_type, numbers)
        case "VARCHAR":
            return _text(name, source_type)
        case "FLAG":
            return _flag(name, source_type)
    raise ValueError(f"Expected one of the raw relations' types, got {target_type}")


def _integer(name: str, source_type: str) -> str | None:
    if source_type in _INTEGERS:
        return f"try_cast({name} as bigint)"
    if source_type in _FLOATS:
        # Beyond this, adjacent whole numbers share one float: two ids could become one.
        limit = 2**53 if source_type == "DOUBLE" else 2**24
        return f"case when {name} = floor({name}) and abs({name}) < {limit} then try_cast({name} as bigint) end"
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
    if source_type == _ZONED_NS:
        return f"case when epoch_ns({name}) % 1000 = 0 then {name}::timestamptz at time zone 'UTC' end"
    if source_type == _ZONED:
        return f"case when isfinite({name}) then {name} at time zone 'UTC' end"
    if source_type == "VARCHAR":
        # Cast to a zoned timestamp first: a cast to TIMESTAMP drops the offset instead of applying it. DuckDB reads no
        # blank before an offset and no region after it.
        bare = f"regexp_replace({name}, ' ?{_UTC_TEXT}?{_REGION_TEXT}\\s*$', '')"
        zoned = f"try_cast(regexp_replace({bare}, ' ([-+])', '\\1') as timestamptz)"
        return f"case when regexp_full_match({name}, '{_MOMENT_TEXT}') then {zoned} at time zone 'UTC' end"
    return None


def _number(name: str, source_type: str, numbers: NumberText) -> str | None:
    if source_type in _INTEGERS or source_type.startswith("DECIMAL"):
        return f"{name}::double"
    if source_type == "FLOAT":
        # By its shortest text: the float nearest to 12.34 is 12.34000015 as a double.
        return f"case when isfinite({name}) then {name}::varchar::double end"
    if source_type == "DOUBLE":
        return f"case when isfinite({name}) then {name} end"
    if source_type == "VARCHAR":
        value = f"try_cast({numbers.as_point(name)} as double)"
        return (
            f"case when regexp_full_match({name}, {_literal(numbers.pattern)}) and isfinite({value}) then {value} end"
        )
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


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
