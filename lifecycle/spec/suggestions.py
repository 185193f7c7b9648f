"""Names for one that does not exist."""

import difflib
from collections.abc import Iterable


def suggestion(name: str, names: Iterable[str], what: str = "model") -> str:
    """The end of an error about an unknown name: the similar names, else all.

    Parameters
    ----------
    what
        What the names name, in the singular.

    Examples
    --------
    >>> suggestion("card_fruad", ["card_fraud", "credit"])
    '; did you mean card_fraud?'
    >>> suggestion("x", ["card_fraud", "credit"])
    '; the models are card_fraud, credit'
    >>> suggestion("x", [])
    '; there is no model'
    >>> suggestion("x", ["loans"], "table")
    '; the tables are loans'
    """
    ordered = sorted(names)
    if similar := difflib.get_close_matches(name.lower(), ordered):
        return f"; did you mean {' or '.join(similar)}?"
    return f"; the {what}s are {', '.join(ordered)}" if ordered else f"; there is no {what}"
