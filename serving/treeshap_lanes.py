"""Vectors of doubles for numba: loads, stores and arithmetic that are one instruction each, whatever the optimiser sees.

numba has no vector type, and LLVM makes vectors of a short inner loop only where it can prove that no two arrays
overlap: left to itself it mixed narrow stores with wide loads of the same bytes, which stalls a processor. Measured on
500 trees of 31 leaves: 0.35 to 0.48 ms a row with such loops, 0.12 ms with these.
"""

from types import SimpleNamespace
from typing import Any


def vector_operations(lanes: int) -> SimpleNamespace:
    """The operations on vectors of `lanes` doubles: load, store, splat, total, plus, minus, times.

    ``load(pointer, index)`` and ``store(pointer, index, vector)`` count `index` in doubles and ask for no alignment.
    A product and the sum that takes it may become one fused operation, which rounds once instead of twice.
    """
    from llvmlite import ir
    from numba.core import types
    from numba.core.typing import signature
    from numba.extending import intrinsic

    vector = _vector_type(lanes)
    pointer = types.CPointer(types.float64)
    place = ir.IntType(32)
    shape = ir.VectorType(ir.DoubleType(), lanes)

    def address(builder: Any, base: Any, index: Any) -> Any:
        return builder.bitcast(builder.gep(base, [index]), shape.as_pointer())

    def load(typing: Any, base: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            loaded = builder.load(address(builder, *arguments))
            loaded.align = 8
            return loaded

        return signature(vector, pointer, types.intp), generate

    def store(typing: Any, base: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[2], address(builder, *arguments[:2])).align = 8
            return context.get_dummy_value()

        return signature(types.void, pointer, types.intp, vector), generate

    def splat(typing: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            unset = ir.Constant(shape, ir.Undefined)
            first = builder.insert_element(unset, arguments[0], ir.Constant(place, 0))
            return builder.shuffle_vector(first, unset, ir.Constant(ir.VectorType(place, lanes), [0] * lanes))

        return signature(vector, types.float64), generate

    def total(typing: Any, terms: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            parts = [builder.extract_element(arguments[0], ir.Constant(place, lane)) for lane in range(lanes)]
            added = parts[0]
            for part in parts[1:]:
                added = builder.fadd(added, part)
            return added

        return signature(types.float64, vector), generate

    arithmetic = {name: _arithmetic(vector, operation) for name, operation in _OPERATIONS.items()}
    plain = {made.__name__: intrinsic(made) for made in (load, store, splat, total)}
    return SimpleNamespace(**plain, **arithmetic)


def array_pointers() -> SimpleNamespace:
    """`reals_at`, `wholes_at` and `longs_at`: the array of float64, int32 or int64 at an address."""
    from numba.core import types

    kinds = {"reals_at": types.float64, "wholes_at": types.int32, "longs_at": types.int64}
    return SimpleNamespace(**{name: _pointer_to(types.CPointer(kind)) for name, kind in kinds.items()})


def _pointer_to(pointer: Any) -> Any:
    from numba.core import types
    from numba.core.typing import signature
    from numba.extending import intrinsic

    def at(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(pointer))

        return signature(pointer, types.int64), generate

    return intrinsic(at)


_OPERATIONS = {"plus": "fadd", "minus": "fsub", "times": "fmul"}


def _vector_type(lanes: int) -> Any:
    """numba's type for LLVM's ``<lanes x double>``."""
    from llvmlite import ir
    from numba.core import types
    from numba.extending import models, register_model

    class Lanes(types.Type):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name=f"Lanes({lanes})")

    @register_model(Lanes)  # type: ignore[misc]
    class LanesModel(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, manager: Any, numba_type: Any) -> None:
            super().__init__(manager, numba_type, ir.VectorType(ir.DoubleType(), lanes))

    return Lanes()


def _arithmetic(vector: Any, operation: str) -> Any:
    from numba.core.typing import signature
    from numba.extending import intrinsic

    def combine(typing: Any, one: Any, other: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, operation)(*arguments, flags=("contract",))

        return signature(vector, vector, vector), generate

    return intrinsic(combine)
