"""Lines on how far a measurement is, one every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 3.0


def teller(about: str, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """A function that prints "<about>: <line>", flushed, unless it did so less than `seconds` ago."""
    last = clock() - seconds

    def tell(line: str) -> None:
        nonlocal last
        if clock() - last >= seconds:
            print(f"{about}: {line}", flush=True)
            last = clock()

    return tell
