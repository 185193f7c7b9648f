"""XGBoost's JSON (`save_model("model.json")`): which models it may hold, and its trees as text."""

import math
from typing import Any, Final

import msgspec
import numpy as np

from serving.contract.documents import MODEL_JSON_FILE, ContractError
from serving.scoring.model_text import NotWholeError

MAJOR_VERSIONS: Final = (1, 2, 3)
"""Versions of XGBoost whose JSON this code reads."""
POSSIBLE: Final = "a binary classifier of XGBoost with the objective binary:logistic and the booster gbtree"
WHERE: Final = f"at {MODEL_JSON_FILE}"


class TreeParameters(msgspec.Struct, frozen=True):
    """Sizes of one tree, which XGBoost writes as texts."""

    num_nodes: str
    num_deleted: str = "0"
    size_leaf_vector: str = "0"


class TreeText(msgspec.Struct, frozen=True):
    """One tree as XGBoost writes it; node 0 is the root, and a leaf's output is its `split_conditions`.

    Before 1.6 `default_left` holds booleans, and before 1.3 there are no categorical splits.
    """

    tree_param: TreeParameters
    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    default_left: list[int | bool]
    sum_hessian: list[float]
    loss_changes: list[float] = []
    split_type: list[int] = []
    categories: list[int] = []
    categories_nodes: list[int] = []
    categories_segments: list[int] = []
    categories_sizes: list[int] = []


class CategoryNames(msgspec.Struct, frozen=True):
    """Names of a feature's categories as XGBoost writes them since 3.1.

    Texts are joined, as bytes in UTF-8 with the offset of each; numbers have the `type` of their array.
    """

    values: list[int] = []
    offsets: list[int] | None = None
    type: int | None = None


class CategoryContainer(msgspec.Struct, frozen=True):
    """The names of all features' categories; empty if the trees were trained on codes."""

    enc: list[CategoryNames] = []


class ForestParameters(msgspec.Struct, frozen=True):
    """Sizes of the forest, which XGBoost writes as texts."""

    num_trees: str
    num_parallel_tree: str = "1"


class ForestText(msgspec.Struct, frozen=True):
    """The trees, each not yet decoded: a large model is decoded with pauses, in which other threads may run."""

    gbtree_model_param: ForestParameters
    tree_info: list[int]
    trees: list[msgspec.Raw]
    cats: CategoryContainer = CategoryContainer()


class Booster(msgspec.Struct, frozen=True):
    """The booster; `model` of another one than `gbtree` has another form."""

    name: str
    model: msgspec.Raw = msgspec.Raw(b"null")


class Objective(msgspec.Struct, frozen=True):
    """The objective; its parameters do not matter after training."""

    name: str


class LearnerParameters(msgspec.Struct, frozen=True):
    """Base score, and numbers of inputs and outputs, which XGBoost writes as texts."""

    base_score: str
    num_feature: str
    num_class: str = "0"
    num_target: str = "1"


class Learner(msgspec.Struct, frozen=True):
    """Everything but the version; the names and types of the inputs may be missing."""

    gradient_booster: Booster
    objective: Objective
    learner_model_param: LearnerParameters
    attributes: dict[str, str] = {}
    feature_names: list[str] = []
    feature_types: list[str] = []


class Document(msgspec.Struct, frozen=True):
    """The whole file."""

    learner: Learner
    version: list[int]


def read_document(content: bytes) -> tuple[Learner, ForestText]:
    """Decode XGBoost's JSON, and check that it holds a model of a kind that can be scored.

    Raises
    ------
    NotWholeError
        If it is not whole JSON of XGBoost.
    ContractError
        If it is of another version, or another kind of model; the message names the kind and what is possible.
    """
    document = decode(content, Document, "")
    version = ".".join(map(str, document.version))
    if not document.version or document.version[0] not in MAJOR_VERSIONS:
        raise ContractError(f"Expected a model of XGBoost 1 to 3, got version {version or 'none'} - {WHERE}")
    learner = document.learner
    _check_kind(learner)
    forest = decode(learner.gradient_booster.model, ForestText, "learner.gradient_booster.model")
    _check_trees(learner, forest)
    return learner, forest


def decode(content: Any, kind: type, where: str) -> Any:
    """A part of the document as its type; raises `NotWholeError`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # UBJSON begins with a brace, too, then the letter of a type instead of a key or a blank.
        if not where and content[:1] == b"{" and content[1:2] in {b"L", b"l", b"i", b"I", b"U", b"$", b"#"}:
            raise NotWholeError(
                f'Expected XGBoost\'s JSON, got UBJSON; save it with `booster.save_model("model.json")` - {WHERE}'
            ) from None
        raise NotWholeError(
            f"Expected XGBoost's whole JSON, got: {error} - {WHERE}{f', {where}' if where else ''}"
        ) from None


def whole(text: str, where: str) -> int:
    """A whole number that XGBoost writes as a text."""
    if not text.isascii() or not text.isdigit():
        raise NotWholeError(f"Expected a whole number as a text, got another one - {WHERE}, {where}")
    return int(text)


def base_margin(learner: Learner) -> np.float32:
    """The constant of the margin: log odds of the base score, a probability, in single precision.

    XGBoost writes ``5E-1``, and since 3.1 ``[5E-1]``.
    """
    where = f"{WHERE}, learner.learner_model_param.base_score"
    words = learner.learner_model_param.base_score.strip("[]").split(",")
    try:
        (score,) = (np.float32(word) for word in words)
    except ValueError:
        raise NotWholeError(f"Expected one base score, got another text - {where}") from None
    if not 0 < score < 1:
        raise ContractError(f"Expected a base score between 0 and 1, which is a probability, got another - {where}")
    odds = np.float32(np.float32(1) / score - np.float32(1))
    if not odds > 0:
        raise ContractError(f"Expected a base score between 0 and 1, which is a probability, got another - {where}")
    return np.float32(-math.log(odds))


def _check_kind(learner: Learner) -> None:
    booster, objective = learner.gradient_booster.name, learner.objective.name
    if booster != "gbtree":
        raise ContractError(
            f"Expected the booster gbtree, got {booster!r}; possible is {POSSIBLE} - {WHERE}, learner.gradient_booster"
        )
    if objective != "binary:logistic":
        raise ContractError(
            f"Expected the objective binary:logistic, got {objective!r}; possible is {POSSIBLE} "
            f"- {WHERE}, learner.objective"
        )
    parameters = learner.learner_model_param
    for name in ("num_class", "num_target"):
        count = whole(getattr(parameters, name), f"learner.learner_model_param.{name}")
        if count > 1:
            raise ContractError(
                f"Expected a model with one output, got {name} {count}; possible is {POSSIBLE} - {WHERE}"
            )


def _check_trees(learner: Learner, forest: ForestText) -> None:
    parameters = forest.gbtree_model_param
    where = "learner.gradient_booster.model.gbtree_model_param"
    n_trees, expected = len(forest.trees), whole(parameters.num_trees, f"{where}.num_trees")
    if n_trees != expected or n_trees != len(forest.tree_info) or not n_trees:
        raise NotWholeError(f"Expected {max(expected, 1)} trees, got {n_trees} - {WHERE}")
    if any(forest.tree_info):
        raise ContractError(f"Expected trees of one output, got those of several; possible is {POSSIBLE} - {WHERE}")
    parallel = max(1, whole(parameters.num_parallel_tree, f"{where}.num_parallel_tree"))
    best = learner.attributes.get("best_iteration")
    rounds = n_trees // parallel
    if best is not None and whole(best, "learner.attributes.best_iteration") + 1 < rounds:
        raise ContractError(
            f"Expected only the rounds that score, got {rounds} rounds of which early stopping kept {int(best) + 1}; "
            f"save `booster[:{int(best) + 1}]`, or, if all are to score, first call "
            f"`booster.set_attr(best_iteration=None)` - {WHERE}, learner.attributes.best_iteration"
        )
