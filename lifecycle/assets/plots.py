"""Plots in the metadata of an asset: PNG inside Markdown, which the Dagster UI renders."""

import base64
from collections.abc import Mapping

import dagster as dg


def shown(pictures: Mapping[str, bytes]) -> dict[str, dg.MetadataValue]:
    """Metadata with each picture under its name."""
    return {
        name: dg.MetadataValue.md(
            f"![{name.replace('_', ' ')}](data:image/png;base64,{base64.b64encode(png).decode()})"
        )
        for name, png in pictures.items()
    }
