import pytest

from lifecycle.spec.derived import DerivedError, check_fields, parse
from lifecycle.spec.derived_sql import column_sql
from serving.contract.documents import Feature
from serving.contract.expressions import Call, Field, Number, Text

FUNCTIONS = "Expected one of the functions abs, ceil, coalesce, extract, floor, greatest, least, nullif, sqrt, got "
GRAMMAR = "Expected arithmetic, comparisons, AND, OR, NOT, CASE, IN, BETWEEN, IS NULL and the listed functions, got "
PARTS = "Expected one of the date parts year, month, day, hour, minute, isodow"
DEEP = "Expected an expression of at most 32 levels, got a deeper one"
REFUSED = [
    ("sum(a)", FUNCTIONS + "`sum` - at character 1"),
    ("1 + avg(a)", FUNCTIONS + "`avg` - at character 5"),
    ("count(*)", FUNCTIONS + "`count` - at character 1"),
    ("max(a)", FUNCTIONS + "`max` - at character 1"),
    ("sum(a) over (partition by b)", FUNCTIONS + "`sum` - at character 1"),
    ("row_number() over (order by a)", FUNCTIONS + "`row_number` - at character 1"),
    ("lag(a)", FUNCTIONS + "`lag` - at character 1"),
    ("abs(a) over ()", FUNCTIONS + "`over` - at character 8"),
    ("(select 1)", GRAMMAR + "a subquery `select` - at character 2"),
    ("a in (select b from c)", GRAMMAR + "a subquery `select` - at character 7"),
    ("exists(select 1)", FUNCTIONS + "`exists` - at character 1"),
    ("a = any(b)", FUNCTIONS + "`any` - at character 5"),
    ("random()", FUNCTIONS + "`random` - at character 1"),
    ("now()", FUNCTIONS + "`now` - at character 1"),
    ("current_date", GRAMMAR + "`current_date` - at character 1"),
    ("read_csv('/etc/passwd')", FUNCTIONS + "`read_csv` - at character 1"),
    ("ln(a)", FUNCTIONS + "`ln` (its last bits differ between libraries; trees need no logarithm) - at character 1"),
    ("exp(a)", FUNCTIONS + "`exp` (its last bits differ between libraries) - at character 1"),
    ("pow(a, 2)", FUNCTIONS + "`pow` - at character 1"),
    ("round(a, 2)", FUNCTIONS + "`round` (halves round differently between warehouses; write floor(x + 0.5))"),
    ("cast(a as integer)", FUNCTIONS + "`cast` (every number is a double already) - at character 1"),
    ("try_cast(a as integer)", FUNCTIONS + "`try_cast` - at character 1"),
    ("a::integer", GRAMMAR + "a cast `::`; every number is a double already - at character 2"),
    ("date '2026-01-01'", GRAMMAR + "`date` - at character 1"),
    ("occurred_at - interval 1 day", GRAMMAR + "`interval` - at character 15"),
    ("if(a > 1, 1, 2)", FUNCTIONS + "`if` (write case when ... then ... else ... end) - at character 1"),
    ("ifnull(a, 0)", FUNCTIONS + "`ifnull` (write coalesce) - at character 1"),
    ("dayofweek(occurred_at)", FUNCTIONS + "`dayofweek` (its numbers differ between warehouses; write extract(isodow"),
    ("hour(occurred_at)", FUNCTIONS + "`hour` (write extract(hour from ...)) - at character 1"),
    ("date_part('hour', occurred_at)", FUNCTIONS + "`date_part` - at character 1"),
    (
        "extract(dow from occurred_at)",
        "Expected one of the date parts year, month, day, hour, minute, isodow, got `dow`",
    ),
    ("extract(epoch from occurred_at)", "Expected one of the date parts year, month, day, hour, minute, isodow"),
    ("extract('hour' from occurred_at)", "Expected one of the date parts year, month, day, hour, minute, isodow"),
    ("upper(k)", FUNCTIONS + "`upper` - at character 1"),
    ("concat(k, 'x')", FUNCTIONS + "`concat` - at character 1"),
    ("regexp_matches(k, '.*')", FUNCTIONS + "`regexp_matches` - at character 1"),
    ("k like 'x%'", GRAMMAR + "`like` - at character 3"),
    ("k ilike 'x%'", GRAMMAR + "`ilike` - at character 3"),
    ("k || 'x'", GRAMMAR + "`||` - at character 3"),
    ("k collate nocase", GRAMMAR + "`collate` - at character 3"),
    ("'a' 'b'", GRAMMAR + "CONCAT - in `'a' 'b'`"),
    ("'it''s'", "Expected a text of printable characters without ' and \\"),
    (r"'a\b'", "Expected a text of printable characters without ' and \\"),
    ("e'x'", GRAMMAR + "`x` - at character 1"),
    ("$$x$$", GRAMMAR + "`x` - at character 1"),
    ("x'00'", "Expected a complete expression, got a fault of syntax - at character 5"),
    ("a % 2", GRAMMAR + "`%` - at character 3"),
    ("a // 2", GRAMMAR + "`//` - at character 3"),
    ("a ** 2", GRAMMAR + "`**` - at character 3"),
    ("a ^ 2", GRAMMAR + "`^` - at character 3"),
    ("a & 1", GRAMMAR + "`&` - at character 3"),
    ("~a", GRAMMAR + "`~` - at character 1"),
    ("a is true", GRAMMAR + "`true` - at character 6"),
    ("a is distinct from b", GRAMMAR + "`distinct` - at character 6"),
    ("a between symmetric 1 and 2", GRAMMAR),
    ("?", GRAMMAR + "a parameter - at character 1"),
    ("$1", GRAMMAR + "a parameter - at character 1"),
    (":x", GRAMMAR + "a parameter - at character 1"),
    ("@x", GRAMMAR + "a parameter - at character 1"),
    ("[1]", GRAMMAR + "`[` - at character 1"),
    ("a[1]", GRAMMAR + "`[` - at character 2"),
    ("{'a': 1}", GRAMMAR + "`{` - at character 1"),
    ("x -> x", GRAMMAR + "`->` - at character 3"),
    ("t.a", GRAMMAR + "a qualified name - at character 2"),
    ('"a"', GRAMMAR + "a quoted name - at character 1"),
    ("*", GRAMMAR + "`*`"),
    ("(a, b)", GRAMMAR + "a list of values - at character 2"),
    ("a as b", GRAMMAR + "`as` - at character 3"),
    ("a b", GRAMMAR + "an alias - at character 3"),
    ("0x10", GRAMMAR + "an alias"),
    ("1e999", "Expected a number that a double holds"),
    ("a in ()", GRAMMAR + "IN without constants"),
    ("floor(a, 2)", GRAMMAR + "FLOOR"),
    ("a; drop table b", GRAMMAR + "the end of a statement `;` - at character 2"),
    ("a -- b", "Expected an expression without a comment, got one"),
    ("a /* b */ + 1", "Expected an expression without a comment, got one - at character 1"),
    ("a /*+ hint */ + 1", "Expected an expression without a comment, got one"),
    ("-- a", "Expected an expression, got an empty text or a comment"),
    ("", "Expected an expression, got an empty text or a comment"),
    ("a +", "Expected a complete expression, got a fault of syntax - at character 3"),
    ("case when a then b", "Expected a complete expression, got a fault of syntax"),
    ("(a", "Expected a complete expression, got a fault of syntax"),
    ("'a", "Expected an expression of words, numbers and texts"),
    ("(" * 33 + "a" + ")" * 33, DEEP),
    ("(" * 1500 + "a" + ")" * 1500, DEEP),
    ("not " * 900 + "a", DEEP),
    ("- " * 900 + "a", DEEP),
    ("case when a then " * 100 + "1", DEEP),
    ("+".join("a" * 40), DEEP),
    ("case " + "when a > 1 then 2 " * 130 + "end", "Expected an expression of at most 500 terms, got more"),
    ("a + " * 2000 + "1", "Expected an expression of at most 4000 characters, got 8001"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:40] or "empty" for text, _ in REFUSED])
def test_everything_outside_the_grammar_is_refused_by_name_and_place(text: str, message: str) -> None:
    with pytest.raises(DerivedError) as refused:
        parse(text)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 400


def test_the_grammar_has_one_tree_for_many_spellings() -> None:
    a, one = Field("a"), Number(1.0)
    low, high = Call("greater_or_equal", (a, one)), Call("less_or_equal", (a, Number(2.0)))
    is_null = Call("is_null", (a,))
    for text, tree in {
        "A_b + 1": Call("add", (Field("A_b"), one)),
        "a != 1": Call("different", (a, one)),
        "a in (1, 2)": Call("or", (Call("equal", (a, one)), Call("equal", (a, Number(2.0))))),
        "a not in (1)": Call("not", (Call("equal", (a, one)),)),
        "a between 1 and 2": Call("and", (low, high)),
        "a is not null": Call("not", (is_null,)),
        "a is null and a is null and (a is null)": Call("and", (is_null, is_null, is_null)),
        "case a when 1 then 'x' end": Call("case", (Call("equal", (a, one)), Text("x"), parse("null").tree)),
        "-1": Number(-1.0),
        "1_000": Number(1000.0),
        "ceiling(a)": None,
    }.items():
        if tree is None:
            with pytest.raises(DerivedError, match="got `ceiling`"):
                parse(text)
        else:
            assert parse(text).tree == tree


def test_the_time_has_the_name_of_the_marts_column() -> None:
    assert parse("extract(hour from seen_at)", "seen_at").tree == Call("hour", (Field("occurred_at"),))
    with pytest.raises(DerivedError, match="Expected the mart's column 'seen_at', got 'occurred_at' - at character 19"):
        parse("extract(hour from occurred_at)", "seen_at")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amuont / 2", "Expected a field that a request carries, got 'amuont'; did you mean amount? - at character 1"),
        ("2 / xyz", "got 'xyz'; the fields are amount, occurred_at - at character 5"),
        ("amount / customer_id", "got 'customer_id', the entity - at character 10"),
        ("1 + 2", "Expected an expression of the example's fields, got a constant"),
    ],
)
def test_an_expression_reads_only_what_a_request_carries(text: str, message: str) -> None:
    with pytest.raises(DerivedError) as refused:
        check_fields(parse(text), frozenset({"amount"}), {"customer_id": "the entity"})
    assert message in str(refused.value)


def test_nested_divisions_are_refused_before_their_sql_grows_without_bound() -> None:
    text = "a"
    for _ in range(20):
        text = f"1 / ({text})"
    feature = Feature(name="x", dtype="float", source="derived", derivation=parse(text))
    with pytest.raises(DerivedError, match="Expected an expression with fewer nested divisions"):
        column_sql(feature, {"a": Feature(name="a", dtype="float")})


def test_a_category_that_the_dialects_escape_differently_is_refused() -> None:
    kind = Feature(name="kind", dtype="category", categories=("it's", "other"), other="other")
    feature = Feature(
        name="x", dtype="int", source="derived", derivation=parse("case when kind = 'a' then 1 else 0 end")
    )
    with pytest.raises(DerivedError, match="printable characters without ' and"):
        column_sql(feature, {"kind": kind})
