"""The part of a model's file that describes one field of an example: its type and its values."""

from typing import Any, Literal

import msgspec

from lifecycle.spec.base import SpecModel
from serving.contract.documents import Feature


class FieldSpec(SpecModel):
    """A column of the mart that a request carries.

    `other` is the category that stands for each category that is not listed; without it such a value is refused, in a
    request and in a training set.
    """

    name: str
    dtype: Literal["float", "int", "category"] = "float"
    is_nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    other: str | None = None

    def field(self, **further: Any) -> Feature:
        """The field as the contract that the server reads, with what a feature has in addition."""
        return Feature(
            name=self.name,
            dtype=self.dtype,
            is_nullable=self.is_nullable,
            minimum=self.minimum,
            maximum=self.maximum,
            categories=self.categories,
            other=msgspec.UNSET if self.other is None else self.other,
            **further,
        )
