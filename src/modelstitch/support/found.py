"""What a public call has found out while it runs, so that it need not find it again; gone when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_HELD: ContextVar[dict[str, Any] | None] = ContextVar("found", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Remember for a while; within another such while, that one's memory is used."""
    if _HELD.get() is not None:
        yield
        return
    before = _HELD.set({})
    try:
        yield
    finally:
        _HELD.reset(before)


def found() -> dict[str, Any] | None:
    """What the call that runs has found out, to read and to add to; None where none runs."""
    return _HELD.get()
