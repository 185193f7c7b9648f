"""The distribution that contains both packages."""

from typing import Final

DISTRIBUTION: Final = "risk-model-lifecycle"
"""Its name, by which the installed version is read."""
