"""Random expressions of the grammar as SQL texts, and rows of awkward values for their fields."""

import datetime as dt
import math
import random
import struct
from typing import Any

from serving.contract.documents import Feature
from serving.contract.expressions import DATE_PARTS

FIELDS = (
    Feature(name="amount", dtype="float"),
    Feature(name="balance", dtype="float", is_nullable=True),
    Feature(name="visits", dtype="int"),
    Feature(name="months", dtype="int", is_nullable=True),
    Feature(name="kind", dtype="category", categories=("shop", "online", "other"), other="other"),
    Feature(name="segment", dtype="category", categories=("gold", "basic"), is_nullable=True),
)
EVEN = (0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 2.0, 3.0, 100.0, 1e16, 2.0**53, -(2.0**53))
EXTREME = (5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 1e308, 1e-300)
CONSTANTS = ("0", "1", "-1", "2.5", "0.1", "1e308", "1e-320")
OF_CATEGORIES = ("kind = 'other'", "kind <> 'shop'", "segment in ('gold')", "segment is null", "kind = segment")
MOMENTS = tuple(
    dt.datetime.fromisoformat(text)
    for text in (
        "2024-02-29T23:59:59.999999",
        "2024-03-01T00:00:00",
        "2023-02-28T23:59:59.999999",
        "2000-02-29T00:00:00",
        "1999-12-31T23:59:59.999999",
        "2026-01-01T00:00:00",
        "2026-03-29T01:59:59.999999",
        "2026-03-29T02:30:00",
        "2026-10-25T02:30:00",
        "2026-11-01T01:30:00",
        "1970-01-01T00:00:00",
        "1969-12-31T23:59:59.999999",
        "1899-12-31T06:59:59.999999",
        "1900-01-01T07:00:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59.999999",
    )
)


def number(draw: random.Random) -> float:
    """A finite double: an even one, an extreme one, any bits, or an everyday amount."""
    share = draw.random()
    if share < 0.2:
        return draw.choice(EVEN)
    if share < 0.3:
        return draw.choice(EXTREME)
    if share < 0.5:
        (any_bits,) = struct.unpack("<d", draw.randbytes(8))
        return any_bits if math.isfinite(any_bits) else 0.0
    return round(draw.uniform(-2000, 2000), draw.choice((0, 2, 12)))


def whole(draw: random.Random) -> int:
    """An integer that a double counts exactly."""
    return draw.choice((0, 1, -1, 2**53, -(2**53), 2**53 - 1, draw.randrange(-100, 100), draw.getrandbits(52)))


def moment(draw: random.Random) -> dt.datetime:
    """A time in UTC without a zone, as the warehouse stores it: around midnights, leap days, changes of the clock."""
    if draw.random() < 0.4:
        return draw.choice(MOMENTS)
    midnight = dt.datetime.fromisoformat("1950-01-01") + dt.timedelta(days=draw.randrange(40_000))
    return midnight + dt.timedelta(microseconds=draw.choice((-1, 0, 1, draw.randrange(86_400_000_000))))


def row(draw: random.Random) -> tuple[Any, ...]:
    """Values of `FIELDS` as a request may carry them, then a moment."""
    return (
        number(draw),
        None if draw.random() < 0.2 else number(draw),
        whole(draw),
        None if draw.random() < 0.2 else whole(draw),
        draw.choice(("shop", "online", "other", "unseen", "")),
        draw.choice(("gold", "basic", None)),
        moment(draw),
    )


def numeric(draw: random.Random, depth: int) -> str:
    """SQL of a random expression that gives a number."""
    if depth <= 0 or draw.random() < 0.15:
        return draw.choice(
            (
                "amount",
                "balance",
                "visits",
                "months",
                "0",
                "1",
                "2.5",
                "1e308",
                "0.1",
                "-1",
                "1e-320",
                "amount",
                "balance",
            )
        )
    deeper = depth - 1
    one, two, three = numeric(draw, deeper), numeric(draw, deeper), numeric(draw, deeper - 1)
    calls = (
        f"{draw.choice(('abs', 'floor', 'ceil', 'sqrt', '- '))}({one})",
        f"{draw.choice(('least', 'greatest'))}({one}, {two}, {three})",
        f"coalesce({one}, {two})",
        f"nullif({one}, {two})",
        f"extract({draw.choice(DATE_PARTS)} from occurred_at)",
    )
    shape = draw.randrange(12)
    if shape < 5:
        return f"({one} {draw.choice('+-*/')} {two})"
    if shape < 10:
        return calls[shape - 5]
    otherwise = draw.choice(("", f" else {three}"))
    return f"case when {condition(draw, deeper)} then {one} when {condition(draw, deeper)} then {two}{otherwise} end"


def condition(draw: random.Random, depth: int) -> str:
    """SQL of a random condition."""
    deeper = depth - 1
    shape = draw.randrange(8) if depth > 0 else draw.randrange(4)
    if shape < 2:
        return f"{numeric(draw, deeper)} {draw.choice(('=', '<>', '<', '<=', '>', '>='))} {numeric(draw, deeper)}"
    if shape == 2:
        return draw.choice(
            ("kind = 'other'", "kind <> 'shop'", "segment in ('gold')", "segment is null", "kind = segment")
        )
    if shape == 3:
        return f"{numeric(draw, deeper)} is {draw.choice(('', 'not '))}null"
    if shape == 4:
        return f"{numeric(draw, deeper)} between {numeric(draw, deeper - 1)} and {numeric(draw, deeper - 1)}"
    if shape == 5:
        return f"not ({condition(draw, deeper)})"
    return f"({condition(draw, deeper)} {draw.choice(('and', 'or'))} {condition(draw, deeper)})"


def text(draw: random.Random, depth: int) -> str:
    """SQL of a random expression that gives a category."""
    if depth <= 0 or draw.random() < 0.3:
        return draw.choice(("kind", "segment", "'gold'", "'shop'"))
    if draw.random() < 0.3:
        return f"{draw.choice(('coalesce', 'nullif'))}({text(draw, depth - 1)}, {text(draw, depth - 1)})"
    return f"case when {condition(draw, depth - 1)} then {text(draw, depth - 1)} else {text(draw, depth - 1)} end"
