"""The data of parts, which stay with the workers that compute them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coded.workers.placed import Placed


class PlacedData:
    """The data of the parts of a sum; made by ``code.place``.

    Attributes
    ----------
    blocks : tuple
        The data of each part.
    placed : Placed
        For each worker the data of its parts.
    """

    def __init__(
        self, code: object, blocks: Sequence[Any], assignment: Sequence[Sequence[int]]
    ) -> None:
        try:
            count = len(blocks)
        except TypeError:
            raise TypeError(
                f"blocks must be a sequence of the data of each part, got {type(blocks).__name__}"
            ) from None
        n_parts = 1 + max(max(parts) for parts in assignment)
        if count != n_parts:
            raise ValueError(
                f"blocks must hold the data of {n_parts} parts, got {count}; cut the data into "
                "code.n_parts blocks"
            )
        self._code = code
        self.blocks = tuple(blocks)
        self.placed = Placed([tuple(self.blocks[i] for i in parts) for parts in assignment])

    def require_of(self, code: object) -> None:
        """Raise ValueError unless they were placed by this code."""
        if self._code is not code:
            raise ValueError(
                f"data were placed by {self._code!r}, not by {code!r}; place them by the code that "
                "they are used with"
            )

    def __repr__(self) -> str:
        """One line with the count and the code."""
        return f"PlacedData({len(self.blocks)} parts, {self._code!r})"
