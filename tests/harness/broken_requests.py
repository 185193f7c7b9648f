"""Score requests with one thing wrong, each with a secret planted in it."""

from typing import Any

from hypothesis import strategies as st

from tests.harness.small_models import score_request

SECRET = "q7planted"


def planted(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=4) | st.dictionaries(st.just(SECRET) | st.text(max_size=5), values, max_size=4)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(SECRET),
    planted,
    max_leaves=8,
)


@st.composite
def broken_requests(draw: st.DrawFn) -> Any:
    """A valid request in which anything stands where something else was, or a document that is none at all."""
    request = score_request()
    for name in draw(st.lists(st.sampled_from([*request, SECRET]), max_size=3)):
        request[name] = draw(anything)
    if isinstance(request["features"], dict):
        for feature in draw(
            st.lists(st.sampled_from(["amount", "is_night", "kind", "mean_amount_7d", SECRET]), max_size=3)
        ):
            request["features"][feature] = draw(anything)
    return draw(st.just(request) | anything)
