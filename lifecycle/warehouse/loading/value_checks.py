"""SQL that converts a source column to its raw column and detects faulty values."""

import re
from dataclasses import dataclass

from lifecycle.spec.raw_table import BOOLEAN, DATE, DOUBLE, MONEY, TEXT, TIMESTAMP, WHOLE, Column
from lifecycle.warehouse.loading.csv_files import text_literal

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

_DATE_TEXT = r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]00:00:00(\.0*)?)?\s*"

_EXPECTED = {
    WHOLE: "a whole number",
    TIMESTAMP: "a date with a time of day (UTC, or with an offset; at most microseconds)",
    DATE: "a date, written as YYYY-MM-DD in text",
    MONEY: "a number",
    DOUBLE: "a number",
    TEXT: "text that is not blank",
    BOOLEAN: "0, 1, true or false",
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
        bare = f"replace({name}, {text_literal(self.thousands)}, '')" if self.thousands else name
        return bare if self.decimal == "." else f"replace({bare}, {text_literal(self.decimal)}, '.')"


PLAIN = NumberText()
_AMBIGUOUS_TEXT = r"\s*[-+]?[0-9]{1,3}\.[0-9]{3}\s*"


@dataclass(frozen=True)
class Cast:
    """`value` is SQL of the raw column's type, of use only for values without one of the `faults`."""

    value: str
    faults: tuple[Fault, ...]


def expected_of(target: Column) -> str:
    """Description of a valid value of this column."""
    return _EXPECTED[target.type]


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def cast_column(source: str, source_type: str, target: Column, numbers: NumberText = PLAIN) -> Cast | None:
    """SQL that converts column `source` of DuckDB type `source_type` to `target`; ``None`` for unsuitable types.

    A column has the same faults in the same order whatever its type in a file is, so that the files of a load share
    their bits.
    """
    name = quoted(source)
    parsed = _parsed(name, source_type, target.type, numbers)
    if parsed is None:
        return None
    where = f"column {source}"
    expected = f"{expected_of(target)} in {where}"
    faults = [Fault(f"{name} is not null and {parsed} is null", expected, "another kind of value")]
    if not target.is_nullable:
        faults.insert(0, Fault(f"{name} is null", f"a value in {where}", "null"))
    if target.type == TIMESTAMP or (target.type == DATE and target.is_event):
        faults += _time_faults(parsed, where)
    if target.type == TEXT and target.is_key:
        faults.append(Fault(f"{parsed} <> trim({parsed})", f"ids without blanks around them in {where}", "with blanks"))
    if target.type in {MONEY, DOUBLE}:
        is_ambiguous = source_type == "VARCHAR" and numbers.is_ambiguous
        faults.append(
            Fault(
                f"regexp_full_match({name}, '{_AMBIGUOUS_TEXT}')" if is_ambiguous else "false",
                f'the decimal separator of {where} in a mapping, such as `amounts: {{decimal: "."}}`',
                "with a point before three digits, of thousands or of decimals",
            )
        )
    if target.type != MONEY:
        return Cast(parsed, (*faults, *_bound_faults(target, parsed, where, "numbers")))
    cents = f"round({parsed}, 2)"
    faults += _bound_faults(target, cents, where, "amounts")
    faults += _amount_faults(source_type, parsed, cents, where)
    return Cast(f"try_cast({cents} as decimal(12,2))", tuple(faults))


def _bound_faults(target: Column, value: str, where: str, what: str) -> tuple[Fault, ...]:
    low, high, faults = target.minimum, target.maximum, []
    if low is not None:
        got = "smaller" if low else "negative"
        faults.append(Fault(f"{value} < {low!r}", f"{what} of at least {low:g} in {where}", got))
    if high is not None:
        faults.append(Fault(f"{value} > {high!r}", f"{what} of at most {high:g} in {where}", "greater"))
    return tuple(faults)


def _time_faults(parsed: str, where: str) -> tuple[Fault, ...]:
    latest = f"(now() at time zone 'UTC') + to_days({LATEST_DAYS})"
    return (
        Fault(f"{parsed} < timestamp '{EARLIEST}'", f"times from {EARLIEST} on in {where}", "earlier"),
        Fault(f"{parsed} > {latest}", f"times at most {LATEST_DAYS} day after the load in {where}", "later"),
    )


def _amount_faults(source_type: str, parsed: str, cents: str, where: str) -> tuple[Fault, ...]:
    faults = [
        Fault(
            f"abs({parsed} - {cents}) >= {NOISE_BELOW}", f"amounts of at most 2 decimals in {where}", "further decimals"
        ),
        Fault(f"abs({cents}) >= {_AMOUNT_BELOW}", f"amounts below 10,000,000,000 in {where}", "larger"),
    ]
    is_too_large = f"abs({parsed}) >= {_FLOAT_AMOUNT_BELOW}" if source_type == "FLOAT" else "false"
    expected = f"amounts below {_FLOAT_AMOUNT_BELOW:,} in the 32-bit floats of {where}, which hold no cents beyond"
    faults.append(Fault(is_too_large, expected, "larger"))
    return tuple(faults)


def _parsed(name: str, source_type: str, target_type: str, numbers: NumberText) -> str | None:
    """SQL of the value in the target's type, of an amount as DOUBLE; null if it cannot be parsed."""
    if target_type in {MONEY, DOUBLE}:
        return _number(name, source_type, numbers, is_shortest=target_type == MONEY)
    parsers = {WHOLE: _integer, TIMESTAMP: _moment, DATE: _date, TEXT: _text, BOOLEAN: _flag}
    return parsers[target_type](name, source_type)


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


def _date(name: str, source_type: str) -> str | None:
    if source_type == "DATE":
        return f"case when isfinite({name}) then {name} end"
    if source_type in _TIMESTAMPS:
        return f"case when {name} = date_trunc('day', {name}) then {name}::date end"
    if source_type == "TIMESTAMP_NS":
        return f"case when epoch_ns({name}) % 86400000000000 = 0 then {name}::date end"
    if source_type == "VARCHAR":
        return f"case when regexp_full_match({name}, '{_DATE_TEXT}') then try_cast(left(trim({name}), 10) as date) end"
    return None


def _number(name: str, source_type: str, numbers: NumberText, *, is_shortest: bool) -> str | None:
    if source_type in _INTEGERS or source_type.startswith("DECIMAL"):
        return f"{name}::double"
    if source_type == "FLOAT" and not is_shortest:
        return f"case when isfinite({name}) then {name}::double end"
    if source_type == "FLOAT":
        # By its shortest text: the float nearest to 12.34 is 12.34000015 as a double.
        return f"case when isfinite({name}) then {name}::varchar::double end"
    if source_type == "DOUBLE":
        return f"case when isfinite({name}) then {name} end"
    if source_type == "VARCHAR":
        value = f"try_cast({numbers.as_point(name)} as double)"
        is_number = f"regexp_full_match({name}, {text_literal(numbers.pattern)})"
        return f"case when {is_number} and isfinite({value}) then {value} end"
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
