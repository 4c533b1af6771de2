"""Many plain values at once, without the collector of cycles going over them again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the collector of cycles meanwhile, where it is at work: for code that makes many values and no cycles.

    Each of its rounds visits all that lives, so that reading ten thousand records would be half collecting.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
