"""Compiles the derived features of a schema to one Python function.

The function is built as a syntax tree from checked nodes: no text is evaluated, and the function reaches nothing but
its arguments and the constants given to it. Nested closures would take three times as long.
"""

import ast
import datetime as dt
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from serving.contract.documents import Feature
from serving.contract.expressions import (
    COMPARISONS,
    DATE_PARTS,
    OCCURRED_AT,
    Call,
    Expression,
    Field,
    Null,
    Number,
    Text,
)
from serving.contract.whole_results import LARGEST_WHOLE, has_valid_results, has_whole_results, with_whole_results

RowFault = Literal["null", "range", "category"]
Row: TypeAlias = tuple[Any, ...]
Complete: TypeAlias = Callable[[Row, dt.datetime], Row]

_LARGEST: Final = sys.float_info.max
_OPERATORS: Final[Mapping[str, ast.operator]] = {
    "add": ast.Add(), "subtract": ast.Sub(), "multiply": ast.Mult(), "divide": ast.Div(),
}  # fmt: skip
_COMPARED: Final[Mapping[str, ast.cmpop]] = {
    "equal": ast.Eq(), "different": ast.NotEq(), "less": ast.Lt(), "less_or_equal": ast.LtE(), "greater": ast.Gt(),
    "greater_or_equal": ast.GtE(),
}  # fmt: skip


class RowError(Exception):
    """A derived feature has no valid value for a request; `feature` is its name, `fault` says why."""

    def __init__(self, feature: Feature, fault: RowFault) -> None:
        super().__init__(feature.name)
        self.feature = feature
        self.fault: RowFault = fault


def row_function(schema: Sequence[Feature], fields: Sequence[Feature]) -> Complete:
    """A function from the values of `fields`, which are valid, and `occurred_at` in UTC to the row of `schema`.

    It raises `RowError` if a derived feature is null where it may not be, outside its range or none of its categories.
    A category that a field with `other` does not list becomes `other`.

    Raises
    ------
    ContractError
        If a derived feature has no derivation.
    """
    body = _Body(fields)
    for field in fields:
        body.accept(field)
    names = {field.name for field in fields}
    return body.function([body.value(each.name) if each.name in names else body.derive(each) for each in schema])


class _Body:
    """Statements of one function, in order; every intermediate value has a name of its own."""

    def __init__(self, fields: Sequence[Feature]) -> None:
        self._statements: list[ast.stmt] = []
        self._constants: dict[str, Any] = {}
        self._fields = {field.name: field for field in fields}
        self._arguments = {field.name: f"f{index}" for index, field in enumerate(fields)}
        self._numbers: dict[str, ast.expr] = {}
        self._present = {self._arguments[field.name] for field in fields if not field.is_nullable}
        self._count = 0

    def function(self, results: list[ast.expr]) -> Complete:
        """The function that returns `results`."""
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in self._arguments.values()]
        unpack = ast.Assign([ast.Tuple(targets, ast.Store())], _name("row"))
        statements = [unpack] if targets else []
        further: Any = {"type_params": []} if sys.version_info >= (3, 12) else {}
        definition = ast.FunctionDef(
            name="complete",
            args=ast.arguments([], [ast.arg("row"), ast.arg(OCCURRED_AT)], None, [], [], None, []),
            body=[*statements, *self._statements, ast.Return(ast.Tuple(results, ast.Load()))],
            decorator_list=[],
            **further,
        )
        module = ast.fix_missing_locations(ast.Module([definition], []))
        namespace: dict[str, Any] = {"__builtins__": {}, **self._constants}
        exec(compile(module, "<derived features>", "exec"), namespace)  # noqa: S102 - built from checked nodes, not text
        complete: Complete = namespace["complete"]
        return complete

    def accept(self, field: Feature) -> None:
        """Map a category that the field does not list."""
        if field.dtype != "category" or not isinstance(field.other, str):
            return
        value = self.value(field.name)
        is_unseen = ast.Compare(value, [ast.NotIn()], [self._constant(_listed(field))])
        self._statements.append(
            ast.If(is_unseen, [_assign(self._arguments[field.name], ast.Constant(field.other))], [])
        )

    def value(self, name: str) -> ast.expr:
        """A field's value."""
        return _name(self._arguments[name])

    def derive(self, feature: Feature) -> ast.expr:
        """The value of a derived feature, checked."""
        result = self._new(self._emit(with_whole_results(feature), self._statements))
        self._statements += _REFINE[feature.dtype](self, feature, result)
        return _name(result)

    def refuse(self, feature: Feature, fault: RowFault) -> list[ast.stmt]:
        """Statements that refuse the request."""
        call = ast.Call(self._constant(RowError), [self._constant(feature), ast.Constant(fault)], [])
        return [ast.Raise(call)]

    def constant(self, value: Any) -> ast.expr:
        """A name for a value that the function needs."""
        return self._constant(value)

    def _emit(self, node: Expression, into: list[ast.stmt]) -> ast.expr:
        """Add the statements that compute a node, and return its value: a name or a constant."""
        if isinstance(node, Field):
            return self._field(node.name)
        if isinstance(node, Null):
            return ast.Constant(None)
        if isinstance(node, Number | Text):
            return ast.Constant(node.value)
        if node.operation == "case":
            return self._case(node, into)
        if node.operation in DATE_PARTS:
            return self._date_part(node.operation)
        arguments = [self._emit(argument, into) for argument in node.arguments]
        emit: Callable[..., ast.expr] = getattr(self, f"_{_FORMS[node.operation]}")
        return emit(node.operation, arguments, into)

    def _field(self, name: str) -> ast.expr:
        """A field's value: an int as a double, since expressions know no other number."""
        field = self._fields[name]
        if field.dtype != "int":
            return self.value(name)
        if name not in self._numbers:
            number = self._new_name()
            value = ast.BinOp(self.value(name), ast.Add(), ast.Constant(0.0))
            # In front of every statement that may not run.
            self._statements.insert(0, _assign(number, self._unless_null([self.value(name)], value)))
            if not field.is_nullable:
                self._present.add(number)
            self._numbers[name] = _name(number)
        return self._numbers[name]

    def _date_part(self, part: str) -> ast.expr:
        if part not in self._numbers:
            number, moment = self._new_name(), _name(OCCURRED_AT)
            value: ast.expr = ast.Attribute(moment, part, ast.Load())
            if part == "isodow":
                value = ast.Call(ast.Attribute(moment, "isoweekday", ast.Load()), [], [])
            self._statements.insert(0, _assign(number, ast.BinOp(value, ast.Add(), ast.Constant(0.0))))
            self._present.add(number)
            self._numbers[part] = _name(number)
        return self._numbers[part]

    def _arithmetic(self, operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        left, right = arguments
        value: ast.expr = ast.BinOp(left, _OPERATORS[operation], right)
        if operation == "divide":
            is_zero = ast.Compare(right, [ast.Eq()], [ast.Constant(0.0)])
            value = ast.IfExp(is_zero, ast.Constant(None), value)
        result = self._assigned(self._unless_null(arguments, value), into)
        into.append(ast.If(_is_endless(result), [_assign(result.id, ast.Constant(None))], []))
        return result

    def _unary(self, operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        (number,) = arguments
        one = ast.Constant(1.0)
        minus = ast.UnaryOp(ast.USub(), number)
        values: dict[str, ast.expr] = {
            "negate": minus,
            "abs": ast.IfExp(ast.Compare(number, [ast.Lt()], [ast.Constant(0.0)]), minus, number),
            "floor": ast.BinOp(number, ast.FloorDiv(), one),
            "ceil": ast.UnaryOp(ast.USub(), ast.BinOp(minus, ast.FloorDiv(), one)),
            "sqrt": ast.IfExp(
                ast.Compare(number, [ast.Lt()], [ast.Constant(0.0)]),
                ast.Constant(None),
                ast.Call(self._constant(math.sqrt), [number], []),
            ),
        }
        return self._assigned(self._unless_null(arguments, values[operation]), into)

    def _comparison(self, operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        compared = ast.Compare(arguments[0], [_COMPARED[operation]], [arguments[1]])
        result = self._assigned(self._unless_null(arguments, compared), into)
        if not any(self._may_be_null(each) for each in arguments):
            self._present.add(result.id)
        return result

    def _extreme(self, operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        chosen = arguments[0]
        is_better = ast.Lt() if operation == "least" else ast.Gt()
        for other in arguments[1:]:
            better = ast.IfExp(ast.Compare(other, [is_better], [chosen]), other, chosen)
            chosen = self._assigned(self._unless_null([chosen, other], better), into)
        return chosen

    def _junction(self, operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        """AND and OR of three values: one false (true) argument decides, else one null, else the rest."""
        decisive = ast.Constant(operation == "or")
        decided: ast.expr = ast.BoolOp(ast.Or(), [ast.Compare(each, [ast.Is()], [decisive]) for each in arguments])
        unknown = ast.BoolOp(ast.Or(), [_is_none(each) for each in arguments])
        rest = ast.IfExp(unknown, ast.Constant(None), ast.Constant(operation == "and"))
        return self._assigned(ast.IfExp(decided, decisive, rest), into)

    def _negation(self, _operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        return self._assigned(self._unless_null(arguments, ast.UnaryOp(ast.Not(), arguments[0])), into)

    def _test(self, _operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        result = self._assigned(_is_none(arguments[0]), into)
        self._present.add(result.id)
        return result

    def _coalesce(self, _operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        chosen = arguments[-1]
        for each in reversed(arguments[:-1]):
            chosen = ast.IfExp(_is_none(each), chosen, each)
        return self._assigned(chosen, into)

    def _nullif(self, _operation: str, arguments: list[ast.expr], into: list[ast.stmt]) -> ast.expr:
        value, other = arguments
        # Null equals nothing here: `value` is returned, null or not.
        return self._assigned(ast.IfExp(ast.Compare(value, [ast.Eq()], [other]), ast.Constant(None), value), into)

    def _case(self, node: Call, into: list[ast.stmt]) -> ast.expr:
        result = self._new_name()
        *branches, otherwise = node.arguments
        place = into
        for condition, value in zip(branches[::2], branches[1::2], strict=True):
            decided = self._emit(condition, place)
            then: list[ast.stmt] = []
            then.append(_assign(result, self._emit(value, then)))
            following: list[ast.stmt] = []
            place.append(ast.If(ast.Compare(decided, [ast.Is()], [ast.Constant(True)]), then, following))
            place = following
        place.append(_assign(result, self._emit(otherwise, place)))
        return _name(result)

    def _constant(self, value: Any) -> ast.expr:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return _name(name)

    def _may_be_null(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Constant):
            return value.value is None
        return not (isinstance(value, ast.Name) and value.id in self._present)

    def _unless_null(self, arguments: Sequence[ast.expr], value: ast.expr) -> ast.expr:
        """`value`, or null if an argument is."""
        tests = [_is_none(each) for each in arguments if self._may_be_null(each)]
        if not tests:
            return value
        return ast.IfExp(tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests), ast.Constant(None), value)

    def _assigned(self, value: ast.expr, into: list[ast.stmt]) -> ast.Name:
        name = self._new_name()
        into.append(_assign(name, value))
        return _name(name)

    def _new(self, value: ast.expr) -> str:
        return self._assigned(value, self._statements).id

    def _new_name(self) -> str:
        self._count += 1
        return f"v{self._count}"


def _refine_float(body: _Body, feature: Feature, result: str) -> list[ast.stmt]:
    value = _name(result)
    unsigned = _assign(result, ast.BinOp(value, ast.Add(), ast.Constant(0.0)))
    return _null_or(body, feature, value, [unsigned, *_range(body, feature, value)])


def _refine_int(body: _Body, feature: Feature, result: str) -> list[ast.stmt]:
    """A double as an int; one that is not whole, or that a double does not count exactly, is null."""
    value = _name(result)
    if has_whole_results(feature):
        if has_valid_results(feature):
            return []
        return _null_or(body, feature, value, _range(body, feature, value))
    is_whole = ast.BoolOp(
        ast.And(),
        [
            ast.Compare(value, [ast.Eq()], [ast.BinOp(value, ast.FloorDiv(), ast.Constant(1.0))]),
            ast.Compare(ast.Constant(-LARGEST_WHOLE), [ast.LtE(), ast.LtE()], [value, ast.Constant(LARGEST_WHOLE)]),
        ],
    )
    whole = ast.IfExp(is_whole, ast.Call(body.constant(int), [value], []), ast.Constant(None))
    converted = _assign(result, ast.IfExp(_is_none(value), ast.Constant(None), whole))
    return [converted, *_null_or(body, feature, value, _range(body, feature, value))]


def _refine_category(body: _Body, feature: Feature, result: str) -> list[ast.stmt]:
    value = _name(result)
    is_unseen = ast.Compare(value, [ast.NotIn()], [body.constant(frozenset(feature.categories or ()))])
    unseen: list[ast.stmt] = body.refuse(feature, "category")
    if isinstance(feature.other, str):
        unseen = [_assign(result, ast.Constant(feature.other))]
    return _null_or(body, feature, value, [ast.If(is_unseen, unseen, [])])


_REFINE: Final[Mapping[str, Callable[[_Body, Feature, str], list[ast.stmt]]]] = {
    "float": _refine_float,
    "int": _refine_int,
    "category": _refine_category,
}
_FORMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide"), "arithmetic"),
    **dict.fromkeys(("negate", "abs", "floor", "ceil", "sqrt"), "unary"),
    **dict.fromkeys(COMPARISONS, "comparison"),
    **dict.fromkeys(("least", "greatest"), "extreme"),
    **dict.fromkeys(("and", "or"), "junction"),
    "not": "negation",
    "is_null": "test",
    "coalesce": "coalesce",
    "nullif": "nullif",
}


def _null_or(body: _Body, feature: Feature, value: ast.expr, present: list[ast.stmt]) -> list[ast.stmt]:
    missing: list[ast.stmt] = [] if feature.is_nullable else body.refuse(feature, "null")
    if not present:
        return [ast.If(_is_none(value), missing, [])] if missing else []
    return [ast.If(_is_none(value), missing or [ast.Pass()], present)]


def _range(body: _Body, feature: Feature, value: ast.expr) -> list[ast.stmt]:
    tests: list[ast.expr] = []
    if feature.minimum is not None:
        tests.append(ast.Compare(value, [ast.Lt()], [ast.Constant(feature.minimum)]))
    if feature.maximum is not None:
        tests.append(ast.Compare(value, [ast.Gt()], [ast.Constant(feature.maximum)]))
    if not tests:
        return []
    return [ast.If(tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests), body.refuse(feature, "range"), [])]


def _listed(field: Feature) -> frozenset[str | None]:
    """The categories, and null where it is allowed: the reader has refused it elsewhere."""
    return frozenset((*(field.categories or ()), None))


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _is_none(value: ast.expr) -> ast.expr:
    if isinstance(value, ast.Constant):
        return ast.Constant(value.value is None)
    return ast.Compare(value, [ast.Is()], [ast.Constant(None)])


def _is_endless(value: ast.expr) -> ast.expr:
    """Whether a double is infinite or NaN; false for null."""
    within = ast.Compare(ast.Constant(-_LARGEST), [ast.LtE(), ast.LtE()], [value, ast.Constant(_LARGEST)])
    return ast.BoolOp(ast.And(), [ast.UnaryOp(ast.Not(), _is_none(value)), ast.UnaryOp(ast.Not(), within)])
