"""How threads wait for one another on the CPU. No torch: the setting must be there before it is loaded."""

from __future__ import annotations

import os

_SPINS = 5_000


def wait_briefly() -> bool:
    """Let a thread that waits for the others sleep soon, instead of keeping its core; whether that was set.

    GNU OpenMP lets waiting threads spin for a millisecond or so. Where another program has one of the cores, the others
    spin through its whole turn at every operation: small networks then take thirty times as long. A setting of the
    user's own (``OMP_WAIT_POLICY``, ``GOMP_SPINCOUNT``) is left alone.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        return False
    os.environ["GOMP_SPINCOUNT"] = str(_SPINS)
    return True
