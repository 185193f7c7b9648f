"""Margins of rows, bit for bit those of `Booster.predict(raw_score=True)`.

`serving.scoring.margin.evaluator` compiles the trees: 500 trees take a seventh of the time of LightGBM's single-row
fast path. LightGBM remains the reference: compiled margins are made of the numbers that LightGBM holds, and are used
only if they equal LightGBM's bit for bit on rows made from the model's own thresholds. Otherwise LightGBM scores.
"""

import ctypes
import logging
import struct
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Final

from serving.contract.documents import ContractError
from serving.scoring.forest import Forest, forest_if_supported, read_forest
from serving.scoring.lightgbm_library import check, library
from serving.scoring.margin.evaluator import Evaluation, Margins, first_difference
from serving.scoring.model_text import END_OF_TREES, TREE, check_whole

_log = logging.getLogger(__name__)

_FLOAT64: Final = 1
_RAW_SCORE: Final = 1
# One row is less work than waking a second thread; verbosity -1 keeps LightGBM off the server's standard output.
_PARAMETERS: Final = b"num_threads=1 verbosity=-1"


class Scorer:
    """One loaded model. Any thread may call it; each has its own configuration, since LightGBM locks on a shared one.

    The C memory is freed with the last reference. A running `margin` holds one, so no request loses its model.

    Parameters
    ----------
    model_text
        A model in LightGBM's text format with one output.
    feature_names
        Names of the inputs in the order `margin` takes them.
    forest
        The result of `read_forest` for the same text, if the caller has it already.

    Attributes
    ----------
    is_compiled
        Whether compiled code computes the margins instead of LightGBM.

    Raises
    ------
    ScoringError
        If LightGBM cannot read the text.
    NotWholeError
        If the text was cut or a tree is damaged; LightGBM would end the process, loop for ever, or score by what is
        left.
    ContractError
        If the model has more than one output, or its inputs differ.
    """

    def __init__(self, model_text: bytes, feature_names: Sequence[str], forest: Forest | None = None) -> None:
        if forest is None:
            forest = forest_if_supported(model_text)
        self._booster = _Booster(model_text)
        self._own = threading.local()
        self._row = struct.Struct(f"{len(feature_names)}d")
        self.n_features = len(feature_names)
        _check_inputs(self._booster, model_text, feature_names)
        self._margins = self._checked(model_text, forest)
        self.is_compiled = self._margins is not None

    def margin(self, row: Sequence[float]) -> float:
        """Log odds before calibration of one row, shape ``(n_features,)``; NaN means missing.

        Raises
        ------
        struct.error
            If the row has another length.
        ScoringError
            If LightGBM rejects it.
        """
        try:
            evaluation: Evaluation | _Configuration = self._own.evaluation
        except AttributeError:
            evaluation = self._own.evaluation = self._evaluation()
        self._row.pack_into(evaluation.buffer, 0, *row)
        return evaluation.predict()

    def _evaluation(self) -> "Evaluation | _Configuration":
        if self._margins is not None:
            return Evaluation(self._margins)
        return _Configuration(self._booster, self.n_features)

    def _checked(self, model_text: bytes, forest: Forest | None) -> Margins | None:
        """The compiled margins if they equal LightGBM's; else a warning and ``None``."""
        try:
            held = self._booster.text(2 * len(model_text))
            if forest is None or forest.n_features != self.n_features or _trees_in(held) != _trees_in(model_text):
                forest = read_forest(held)
            margins = Margins.from_forest(forest)
        except (ContractError, ImportError, RuntimeError, UnicodeDecodeError) as error:
            _log.warning("LightGBM computes the margins because the trees cannot be compiled: %s", error)
            return None
        probe = first_difference(
            forest,
            _of_row(self._row, Evaluation(margins)),
            _of_row(self._row, _Configuration(self._booster, self.n_features)),
        )
        if probe is not None:
            _log.warning("LightGBM computes the margins because the compiled ones differ - at probe %d", probe)
            return None
        return margins


class _Booster:
    """The C handle of a model; freed with its last reference."""

    def __init__(self, model_text: bytes) -> None:
        check_whole(model_text)
        handle, iterations = ctypes.c_void_p(), ctypes.c_int()
        check(
            library().LGBM_BoosterLoadModelFromString(model_text, ctypes.byref(iterations), ctypes.byref(handle)),
        )
        self.handle = handle
        _free_with(self, library().LGBM_BoosterFree, handle)

    def count(self, function: str) -> int:
        """One of LightGBM's counts of this model."""
        result = ctypes.c_int()
        check(getattr(library(), function)(self.handle, ctypes.byref(result)))
        return result.value

    def text(self, size: int) -> bytes:
        """The model as LightGBM writes it from its memory; the text of a double reads back as the same double.

        `size` is a guess of the model's bytes: LightGBM writes the whole model even to report that they are too few.
        """
        length = ctypes.c_int64()
        while True:
            buffer = ctypes.create_string_buffer(size)
            check(
                library().LGBM_BoosterSaveModelToString(self.handle, 0, -1, 0, size, ctypes.byref(length), buffer),
            )
            if length.value <= size:
                return buffer.value
            size = length.value


class _Configuration:
    """One thread's prepared prediction with its input and output buffers; keeps the booster alive."""

    def __init__(self, booster: _Booster, n_features: int) -> None:
        self._booster = booster
        self.buffer = (ctypes.c_double * n_features)()
        self._length, self._margin = ctypes.c_int64(), ctypes.c_double()
        self._handle = ctypes.c_void_p()
        check(
            library().LGBM_BoosterPredictForMatSingleRowFastInit(
                booster.handle, _RAW_SCORE, 0, -1, _FLOAT64, n_features, _PARAMETERS, ctypes.byref(self._handle)
            )
        )
        _free_with(self, library().LGBM_FastConfigFree, self._handle)
        self._call = library().LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (
            self._handle, ctypes.addressof(self.buffer), ctypes.byref(self._length), ctypes.byref(self._margin),
        )  # fmt: skip

    def predict(self) -> float:
        """The margin of the row in `buffer`."""
        status = self._call(*self._arguments)
        if status != 0:
            check(status)
        return self._margin.value


def _free_with(owner: object, free: Callable[[ctypes.c_void_p], int], handle: ctypes.c_void_p) -> None:
    """Call `free` once `owner` is gone; not at the interpreter's end, when the system takes all memory anyway."""
    finalizer = weakref.finalize(owner, free, handle)
    setattr(finalizer, "atexit", False)  # noqa: B010  # typeshed knows it as no attribute that can be set


def _of_row(packer: struct.Struct, evaluation: "Evaluation | _Configuration") -> Callable[[Sequence[float]], float]:
    def margin(row: Sequence[float]) -> float:
        packer.pack_into(evaluation.buffer, 0, *row)
        return evaluation.predict()

    return margin


def lightgbm_margins(model_text: bytes, n_features: int) -> Callable[[Sequence[float]], float]:
    """LightGBM's own single-row fast path, for comparison; for one thread."""
    return _of_row(struct.Struct(f"{n_features}d"), _Configuration(_Booster(model_text), n_features))


def _trees_in(model_text: bytes) -> bytes:
    """The text from the first tree to the end of the last."""
    _, first, rest = model_text.partition(TREE)
    return first + rest.partition(END_OF_TREES)[0]


def _check_inputs(booster: _Booster, model_text: bytes, feature_names: Sequence[str]) -> None:
    outputs = booster.count("LGBM_BoosterGetNumClasses")
    if outputs != 1:
        raise ContractError(f"Expected a model with one output, got {outputs} - at model.txt")
    inputs = booster.count("LGBM_BoosterGetNumFeature")
    if inputs != len(feature_names):
        raise ContractError(f"Expected a model with {len(feature_names)} inputs, got {inputs} - at model.txt")
    names = _names_in(model_text)
    # LightGBM calls the columns of an unnamed matrix Column_0 and so on: such a model does not record their order.
    is_named = names != [f"Column_{index}" for index in range(inputs)]
    if is_named and names != list(feature_names):
        differing = [name for name, expected in zip(names, feature_names, strict=False) if name != expected]
        raise ContractError(
            f"Expected the inputs {list(feature_names)} in this order, got other inputs at {differing} - at model.txt"
        )


def _names_in(model_text: bytes) -> list[str]:
    for line in model_text.split(b"\n", 40)[:40]:
        if line.startswith(b"feature_names="):
            return line.decode().removeprefix("feature_names=").split(" ")
    raise ContractError("Expected a line feature_names=..., but it is missing - at model.txt")
