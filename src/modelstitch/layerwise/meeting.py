"""Whose layers are held against whose: two networks, or any number of them as one set."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

from ..data.data import Data
from ..engine.activations import keeping
from ..errors import MeasureError, StitchError
from ..network import Layer, Network, apart, check_networks
from ..support.kinds import fits

LayerKey: TypeAlias = str  # a layer of one of the networks, "network@layer"
Layers: TypeAlias = Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]
_PAIRS = "pairs must be 'all' or (bottom, top) names"


@dataclass(frozen=True)
class Meeting:
    """The networks, their layers, and which networks are held against each other.

    Attributes:
        networks: by name.
        layers: by network, the names under which it lists them.
        pairs: of networks, by name.
        both: a measure that looks one way is told the other way, too.
        sides: of two networks, the layers of the bottom and of the top; None of a list of networks.
    """

    networks: dict[str, Network]
    layers: dict[str, tuple[str, ...]]
    pairs: tuple[tuple[str, str], ...]
    both: bool
    sides: tuple[tuple[LayerKey, ...], tuple[LayerKey, ...]] | None = None

    def keys(self, network: str) -> tuple[LayerKey, ...]:
        """The layers of a network."""
        return tuple(f"{network}@{layer}" for layer in self.layers[network])

    def ends(self, pair: tuple[str, str]) -> tuple[tuple[LayerKey, ...], tuple[LayerKey, ...]]:
        """The layers of the bottom and of the top of a pair."""
        return self.sides or (self.keys(pair[0]), self.keys(pair[1]))

    @property
    def whole(self) -> tuple[tuple[LayerKey, ...], tuple[LayerKey, ...]]:
        """All layers that are bottoms and all that are tops; equal where the networks are one set."""
        if self.sides:
            return self.sides
        bottoms, tops = ({pair[at] for pair in self.pairs} for at in (0, 1))
        if bottoms & tops:
            bottoms = tops = bottoms | tops
        left, right = (
            tuple(key for name in self.networks if name in some for key in self.keys(name)) for some in (bottoms, tops)
        )
        return left, right

    @property
    def stated(self) -> Any:
        """The layers as an answer states them."""
        if self.sides:
            return [[k.removeprefix(f"{name}@") for k in side] for name, side in zip(self.pairs[0], self.sides)]
        return {name: list(layers) for name, layers in self.layers.items()}

    def seams(
        self, left: Container[LayerKey], right: Container[LayerKey], pairs: Sequence[tuple[str, str]]
    ) -> list[tuple[LayerKey, LayerKey]]:
        """(bottom layer, top layer) of these pairs that lie on two sides, either way round."""
        return [
            (b, t)
            for pair in pairs
            for bottoms, tops in [self.ends(pair)]
            for b in bottoms
            for t in tops
            if (b in left and t in right) or (b in right and t in left)
        ]

    @property
    def places(self) -> dict[LayerKey, tuple[Network, Layer]]:
        """Where the key of each layer leads."""
        return {
            f"{name}@{layer}": (network, network.layer(layer))
            for name, network in self.networks.items()
            for layer in self.layers[name]
        }

    def without(self, name: str) -> Meeting:
        """The same without a network and its pairs."""
        networks = {one: network for one, network in self.networks.items() if one != name}
        return Meeting(
            networks,
            {one: self.layers[one] for one in networks},
            tuple(pair for pair in self.pairs if name not in pair),
            self.both,
        )

    def keeping(self, folder: str | Path) -> Meeting:
        """The same of networks whose activations are kept in a folder."""
        kept: dict[str, Network] = {
            name: keeping(network, folder, self.layers[name]) for name, network in self.networks.items()
        }
        return replace(self, networks=kept)

    def in_words(self) -> str:
        """The networks, for a line of progress."""
        names = list(self.networks)
        return " and ".join(names[:: len(names) - 1 or 1]) if len(names) <= 2 else f"{len(names)} networks"


def meeting_of(
    bottom: Network | Sequence[Network],
    top: Network | None,
    data: Data | None,
    layers: Layers | None,
    pairs: str | Sequence[tuple[str, str]],
) -> Meeting:
    """Read what ``similarity`` was asked of: two networks, or a list of them.

    Raises:
        StitchError: what is asked cannot be answered of these networks and data.
    """
    if isinstance(bottom, Sequence):
        return _of_several(list(bottom), top, data, layers, pairs)
    check_networks(bottom=bottom, top=top)
    _check_data(data)
    below, above = apart(bottom, top)  # type: ignore[arg-type]
    if pairs != "all":
        raise MeasureError("Two networks are one pair: expected pairs= beside a list of networks; leave it out.")
    _check_two_lists(layers)
    own: Any = (None, None) if layers is None else layers
    sides = [chosen_layers(net, asked) for net, asked in zip((below, above), own)]
    chosen = {below.name: tuple(sides[0]), above.name: tuple(sides[1])}
    if below is above:
        chosen = {below.name: tuple(dict.fromkeys([*sides[0], *sides[1]]))}
    left, right = (tuple(f"{net.name}@{layer}" for layer in side) for net, side in zip((below, above), sides))
    pair = (below.name, above.name)
    return Meeting({net.name: net for net in (below, above)}, chosen, (pair,), False, (left, right))


def _of_several(
    networks: list[Network], top: Any, data: Any, layers: Layers | None, pairs: str | Sequence[tuple[str, str]]
) -> Meeting:
    if top is not None or len(networks) < 2:
        raise StitchError(
            "Several networks are given in one list, two at least, and the data by name: expected "
            "similarity([a, b, c], data=data)."
        )
    for network in networks:
        check_networks(network=network)
    _check_data(data)
    names = [network.name for network in networks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise StitchError(f"Two networks are called {twice!r}: expected distinct names; give each Network a name=.")
    chosen = {
        net.name: tuple(chosen_layers(net, _layers_of(net, at, names, layers))) for at, net in enumerate(networks)
    }
    wanted = _wanted(pairs, names)
    held = {name for pair in wanted for name in pair}
    return Meeting(
        {net.name: net for net in networks if net.name in held},
        {name: own for name, own in chosen.items() if name in held},
        wanted,
        isinstance(pairs, str),
    )


def _wanted(pairs: str | Sequence[tuple[str, str]], names: list[str]) -> tuple[tuple[str, str], ...]:
    """The pairs that were named, each once; every two networks by default."""
    wanted = tuple(combinations(names, 2)) if isinstance(pairs, str) else tuple(tuple(pair) for pair in pairs)
    if (isinstance(pairs, str) and pairs != "all") or not wanted or any(len(pair) != 2 for pair in wanted):
        raise MeasureError(f"{_PAIRS[0].upper()}{_PAIRS[1:]}, found {pairs!r}: leave it out for all.")
    unknown = next((name for pair in wanted for name in pair if name not in names), None)
    if unknown is not None:
        raise MeasureError(f"{_PAIRS[0].upper()}{_PAIRS[1:]} of {', '.join(map(repr, names))}, found {unknown!r}.")
    return tuple(dict.fromkeys(wanted))  # type: ignore[arg-type]


def _layers_of(network: Network, at: int, names: list[str], layers: Layers | None) -> Sequence[str] | None:
    """The layers that were named for one network of a list."""
    if layers is None:
        return None
    if isinstance(layers, Mapping):
        if set(layers) - set(names):
            unknown = next(name for name in layers if name not in names)
            raise MeasureError(f"layers= names no network {unknown!r}: expected names of {', '.join(names)}.")
        return layers.get(network.name)
    if fits(layers, Sequence[str]):
        return layers  # type: ignore[return-value]
    if not fits(layers, Sequence[Sequence[str]]) or len(layers) != len(names):
        raise MeasureError(
            "The layers must be names that all networks have, a list for each network, or {network: names}, found "
            f"{layers!r}."
        )
    return layers[at]


def _check_two_lists(layers: Any) -> None:
    if layers is not None and not fits(layers, tuple[Sequence[str], Sequence[str]]):
        raise MeasureError(f"The layers must be two lists, the bottom's and the top's, found {layers!r}.")


def _check_data(data: Any) -> None:
    if not isinstance(data, Data):
        raise MeasureError(
            f"The data must be modelstitch Data, found {type(data).__name__}: make one with Data(fit, val, test)."
        )


def chosen_layers(network: Network, layers: Sequence[str] | None) -> list[str]:
    """The listed names of some layers of a network, its block cuts by default.

    Raises:
        MeasureError: there is none.
        UnknownLayerError: with the closest names.
    """
    wanted = network.blocks if layers is None else network.matched(layers)
    if not wanted:
        asked = "was chosen" if layers is not None else f"can be compared by itself ({network.why_none})"
        raise MeasureError(
            f"No layer of {network.name!r} {asked}: expected one at least; give layers=, see Network.layers."
        )
    return list(dict.fromkeys(network.layer(name).name for name in wanted))
