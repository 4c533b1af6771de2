"""Two networks need two names: records, tables and pictures call them by nothing else."""

from __future__ import annotations

from ..errors import StitchError
from .network import Network


def apart(bottom: Network, top: Network) -> tuple[Network, Network]:
    """Two networks with distinct names; the same network twice is called by one name.

    Raises:
        StitchError: if two different networks have one name.
    """
    if bottom is not top and bottom.name == top.name:
        if bottom.fingerprint() == top.fingerprint():
            return bottom, bottom
        raise StitchError(f"Both networks are called {bottom.name!r}: expected distinct names; pass name= to Network.")
    return bottom, top
