"""Writes the folder of a new model from an example: its file, its dbt package, and a README."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifecycle.errors import LifecycleError
from serving.storage.durable import rename_flushed

Origin = Literal["card", "credit", "blank"]
ORIGINS: tuple[Origin, ...] = ("card", "credit", "blank")
_HERE = Path(__file__).parent
_SHIPPED = _HERE.parents[1] / "defs"
README = "README.md"
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True)
class _Example:
    """A folder to copy; its `relations` get names that begin with the new model's in place of their first word."""

    folder: Path
    relations: tuple[str, ...]
    events: str
    outcomes: str | None


_EXAMPLES: dict[Origin, _Example] = {
    "card": _Example(_SHIPPED / "card_fraud", (), "card_transactions", "fraud_reports"),
    "credit": _Example(
        _SHIPPED / "credit_default",
        ("credit_clients", "credit_outcomes", "credit_protected", "credit_client_features"),
        "credit_clients",
        "credit_outcomes",
    ),
    "blank": _Example(
        _HERE / "blank", ("blank_examples", "blank_outcomes", "blank_features"), "blank_examples", "blank_outcomes"
    ),
}


def write_new_model(name: str, origin: Origin, models: Path) -> list[Path]:
    """Write the folder of a model below `models`, and return its files.

    With `card` the model reads the shipped mart of card transactions and has no dbt models of its own; with `credit`
    and `blank` it declares raw tables and a mart, named after the model.

    Raises
    ------
    LifecycleError
        If the name is not one, or the folder exists or cannot be written.
    """
    if not NAME.fullmatch(name):
        raise LifecycleError(f"Expected a name of lower-case letters, digits and underscores, got {name!r} - at NAME")
    folder = models / name
    if folder.exists():
        raise LifecycleError(f"Expected the name of a new model, found its folder; choose another name - at {folder}")
    example = _EXAMPLES[origin]
    unfinished = models / f".{name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    written = []
    try:
        for source in sorted(example.folder.rglob("*")):
            if source.is_file() and source.suffix in {".yaml", ".yml", ".sql"}:
                target = unfinished / _renamed(str(source.relative_to(example.folder)), name, example)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_renamed(source.read_text(), name, example))
                written.append(folder / target.relative_to(unfinished))
        (unfinished / README).write_text(_readme(name, example))
        rename_flushed(unfinished, folder)
    except OSError as error:
        raise LifecycleError(
            f"Expected to write the model's folder, got {error.strerror or error} - at {folder}"
        ) from error
    return [*written, folder / README]


def _renamed(text: str, name: str, example: _Example) -> str:
    """The text with the example's own name and relations replaced, also in a staging model's name; no column is."""
    for relation in example.relations:
        text = re.sub(rf"\b(stg_)?{relation}\b", rf"\g<1>{name}_{relation.partition('_')[2]}", text)
    # The shipped mart of a model without relations of its own derives its columns by that model's file.
    if not example.relations:
        return text.replace(f"  name: {example.folder.name}\n", f"  name: {name}\n")
    return re.sub(rf"\b{example.folder.name}\b", name, text)


def _readme(name: str, example: _Example) -> str:
    events, outcomes = (_renamed(table or "", name, example) for table in (example.events, example.outcomes))
    template = (_HERE / "README.template.md").read_text()
    return template.replace("MODEL", name).replace("EVENTS", events).replace("OUTCOMES", outcomes)
