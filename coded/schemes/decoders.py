"""The decoders of a code, one a set of responders, of which the latest are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from coded.schemes.protocol import Responders

Decoder = TypeVar("Decoder")

_KEPT = 256


class Decoders(Generic[Decoder]):
    """Decoders by their responders; of more than 256 those go that were used longest ago."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Responders, Decoder] = OrderedDict()
        self._latest: tuple[Responders, Decoder] | None = None  # what calls mostly ask for again

    def get(self, responders: Responders, build: Callable[[Responders], Decoder]) -> Decoder:
        """Give the decoder; if there is none, make it by `build`, and keep it."""
        if (latest := self._latest) is not None and latest[0] == responders:
            return latest[1]
        with self._lock:
            decoder = self._kept.get(responders)
            if decoder is not None:
                self._kept.move_to_end(responders)
                self._latest = responders, decoder
                return decoder
        decoder = build(responders)
        with self._lock:
            self._kept[responders] = decoder
            self._kept.move_to_end(responders)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            self._latest = responders, decoder
        return decoder
