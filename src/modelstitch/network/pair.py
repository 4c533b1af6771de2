"""Whether two things are networks, and whether they are one and the same."""

from __future__ import annotations

from typing import Any

from ..errors import NetworkError, StitchError
from ..support.user_code import in_words
from .network import Network


def apart(bottom: Network, top: Network) -> tuple[Network, Network]:
    """Two networks with distinct names; the same network twice, with one view, is called by one name.

    Raises:
        NetworkError: if one is no Network.
        StitchError: if two different networks have one name.
    """
    check_networks(bottom=bottom, top=top)
    if bottom is not top and bottom.name == top.name:
        if alike(bottom, top):
            return bottom, bottom
        raise StitchError(f"Both networks are called {bottom.name!r}: expected distinct names; pass name= to Network.")
    return bottom, top


def alike(one: Network, other: Network) -> bool:
    """Whether two networks are the same but for their names.

    In weights, in how they see a sample, in what they were trained on.
    """
    sight = in_words(one.view) == in_words(other.view) and one.trained_on == other.trained_on
    return sight and one.fingerprint() == other.fingerprint()


def check_networks(**sides: Any) -> None:
    """Refuse what is no Network, a bare module above all.

    Raises:
        NetworkError: naming the side and what was found.
    """
    for side, network in sides.items():
        if not isinstance(network, Network):
            raise NetworkError(
                f"The {side} must be a modelstitch Network, found {type(network).__name__}: make one with "
                "Network(module, example, name)."
            )
