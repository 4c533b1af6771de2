"""Tables are tried in forks of one process, with the same bounds: starting Python and polars takes far longer.

How the package itself tries them is tested in ``support``, and that nothing else is started in ``attacks``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_forks: Any = None
_of = 0  # the process that has them


def trial(ask: dict[str, Any], size: int) -> str:
    """As ``modelstitch.support.tables._trial``."""
    global _forks, _of
    if _forks is None or _of != os.getpid():
        from benchmarks.forks import Forks

        _forks, _of = Forks(), os.getpid()
    said: str = _forks.trial(ask, size)
    return said


@contextmanager
def in_forks(whether: bool) -> Iterator[None]:
    """Let tables be tried so, or as ever, meanwhile."""
    from modelstitch.support import tables

    usual = tables._trial
    if whether:
        tables._trial = trial
    try:
        yield
    finally:
        tables._trial = usual


def end() -> None:
    """End the process that is forked."""
    if _forks is not None and _of == os.getpid():
        _forks.process.stdin.close()
        _forks.process.stdout.close()
        _forks.process.wait()
