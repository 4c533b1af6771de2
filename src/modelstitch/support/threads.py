"""How many threads work on the CPU, and how they wait. torch is loaded late: it reads the setting when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SPINS = 5_000
_SMALL = 512  # columns up to which a decomposition gains nothing from a second thread


def wait_briefly() -> bool:
    """Let a thread that waits for the others sleep soon, instead of keeping its core; whether that was set.

    GNU OpenMP lets waiting threads spin for a while. Where another program has one of the cores, the others
    spin through its whole turn at every operation: small networks then take thirty times as long. A setting of the
    user's own (``OMP_WAIT_POLICY``, ``GOMP_SPINCOUNT``) is left alone.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        return False
    os.environ["GOMP_SPINCOUNT"] = str(_SPINS)
    return True


@contextmanager
def alone_if_small(columns: int) -> Iterator[None]:
    """Decompose matrices of few columns on one thread.

    Its many short steps would be spent on waiting for the others.
    """
    import torch

    before = torch.get_num_threads()
    if columns > _SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
