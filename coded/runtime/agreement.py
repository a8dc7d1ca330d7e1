"""Which answers of one call agree in shape, and what they can still become."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Set
from typing import Any

import numpy as np

from coded.runtime.result import Indices


class Agreement:
    """The answers by kind: those of one kind can be decoded together."""

    def __init__(self) -> None:
        self._by_kind: dict[Hashable, dict[int, Any]] = {}

    def add(self, n: int, kind: Hashable, answer: Any) -> None:
        """Count the answer of a worker."""
        group = self._by_kind.get(kind)
        if group is None:
            group = self._by_kind[kind] = {}
        group[n] = answer

    def has(self, n: int) -> bool:
        """Whether a worker's answer was counted."""
        return any(n in group for group in self._by_kind.values())

    @property
    def most(self) -> int:
        """How many answers the leading kind has."""
        return max(map(len, self._by_kind.values()), default=0)

    def responders(self) -> Indices:
        """Give the workers whose answers are of the leading kind."""
        return np.array(sorted(self._leading()), dtype=np.intp)

    def answers(self, responders: Indices) -> list[Any]:
        """Give the answers of these, all of the leading kind."""
        group = self._leading()
        return [group[int(n)] for n in responders]

    def minorities(self) -> list[tuple[int, str]]:
        """Give the workers whose answers are of another kind, and what is wrong with them."""
        leading = self._leading()
        usual = next((kind for kind, group in self._by_kind.items() if group is leading), None)
        return [
            (n, f"answer has shape {kind}, most others have {usual}")
            for kind, group in self._by_kind.items()
            if group is not leading
            for n in group
        ]

    def is_disputed(self) -> bool:
        """Whether two kinds lead, equally many answers each, so that one more may decide."""
        return sum(len(group) == self.most for group in self._by_kind.values()) > 1

    def is_of_one_kind(self) -> bool:
        """Whether all answers can be decoded together."""
        return len(self._by_kind) < 2

    def can_become(self, waiting: Set[int], is_enough: Callable[[Indices], bool]) -> bool:
        """Whether the answers would be enough if all who are still out answered alike."""
        groups = list(self._by_kind.values()) or [{}]
        return any(
            is_enough(np.array(sorted(group.keys() | waiting), dtype=np.intp)) for group in groups
        )

    def _leading(self) -> dict[int, Any]:
        """Give the kind that most answers are of; of equally many, the one seen first."""
        return max(self._by_kind.values(), key=len, default={})
