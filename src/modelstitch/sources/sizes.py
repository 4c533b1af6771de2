"""Whether networks take samples of the size that data have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .data import Data

if TYPE_CHECKING:
    from ..network import Network


def check_sizes(networks: Iterable[Network], data: Data) -> None:
    """Refuse a network that was traced at another size and is another function there.

    Raises:
        NetworkError: see :meth:`modelstitch.Network.check_sample`.
    """
    first = next(iter(data.batches("val", 2))).inputs
    for network in networks:
        try:
            seen = network.view(first)
        except Exception:  # a view may raise anything, and does so again where it is used
            continue
        network.check_sample(seen)
