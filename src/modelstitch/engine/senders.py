"""Where a stitch gets its bottom activations: a network, or a stand-in that a control uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.batch import Batch, of_images
from ..errors import NetworkError, StitchError, first_line
from ..network import OUTPUT, FromInput, Layer, Network
from ..network.norms import Norm, own_statistics
from ..network.passes import quick
from ..support.device import to_device
from ..support.memory import out_of_memory
from .activations import Shelved

Send = Callable[[Batch], dict[str, Tensor]]


class Sender(Protocol):
    """Something with named layers that turns a batch into their activations."""

    @property
    def name(self) -> str:
        """How progress and errors call it."""
        ...

    @property
    def norms(self) -> dict[str, Norm]:
        """BatchNorm statistics of its own, by module name; empty where there are none or they stay the donor's."""
        ...

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        ...

    def open(self, layers: Sequence[str], device: torch.device, *, output: bool = False) -> Send:
        """A function from a batch to {layer: activation}, all layers in one forward, without gradients.

        ``output`` adds the output of the network that it ``gives``, under OUTPUT.
        """
        ...

    def gives(self, network: Network) -> bool:
        """Whether the sender's forward, run to its end, is this network's own."""
        ...


class NetworkSender:
    """The bottom of a network: one forward serves all layers.

    Args:
        network: the bottom donor, or a control made from it.
        own: the layers of the whole sweep, where BatchNorm statistics are to be moved (on a copy); None keeps the
            donor's statistics.
    """

    def __init__(self, network: Network, *, own: Sequence[str] | None = None) -> None:
        self.network = network
        self.name = network.name
        self._taps: FromInput | None = None
        self.norms: dict[str, Norm] = {}
        if own is not None:
            self._taps = network.taps(list(dict.fromkeys(own)))
            self.norms = own_statistics(self._taps, network.module)

    def layer(self, name: str) -> Layer:
        return self.network.layer(name)

    def gives(self, network: Network) -> bool:
        return network is self.network and self._taps is None  # with statistics of its own it is another network

    def open(self, layers: Sequence[str], device: torch.device, *, output: bool = False) -> Send:
        network = self.network
        if self._taps is None and isinstance(network, Shelved):
            return _from_shelf(network, [*layers, *([OUTPUT] if output else [])], device)
        asked = tuple(dict.fromkeys(layers))
        taps = self._taps or network.ready(network.taps, asked, output=output, device=device)
        return _through(taps.to(device), network, device)


class Company:
    """Any number of networks as one: its layers are those of all, and each runs once over a batch.

    Args:
        networks: by name; a layer is called "network@layer".
    """

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self.networks = dict(networks)
        self.name = " and ".join(networks) if len(networks) < 3 else f"{len(networks)} networks"
        self.norms: dict[str, Norm] = {}
        self._places: dict[str, tuple[str, str]] = {}

    def key(self, network: str, layer: str) -> str:
        """What a layer is called here."""
        key = f"{network}@{layer}"
        self._places[key] = (network, layer)
        return key

    def layer(self, name: str) -> Layer:
        """The layer that ``key`` called so."""
        network, layer = self._places[name]
        return self.networks[network].layer(layer)

    def gives(self, network: Network) -> bool:
        """A company's output is no network's."""
        return False

    def open(self, layers: Sequence[str], device: torch.device, *, output: bool = False) -> Send:
        """A function from a batch to {layer: activation}, in the quickest layout."""
        own: dict[str, dict[str, str]] = {}
        for key in dict.fromkeys(layers):
            network, layer = self._places[key]
            own.setdefault(network, {})[layer] = key
        opened = [
            (keys, open_quick(NetworkSender(self.networks[name]), list(keys), device)) for name, keys in own.items()
        ]

        def send(batch: Batch) -> dict[str, Tensor]:
            return {keys[layer]: value for keys, each in opened for layer, value in each(batch).items()}

        return send


def open_whole(sender: Sender, device: torch.device) -> Callable[[Batch], Tensor]:
    """A function from a batch to the output of the sender's network, without gradients.

    Raises:
        StitchError: it is no network.
    """
    if not isinstance(sender, NetworkSender):
        raise StitchError(
            f"The bottom {sender.name} is no network and has no output to distill from: expected targets='top' beside "
            f"the {sender.name} controls; leave them out, for example with controls=('self', 'random')."
        )
    network = sender.network
    return _through(network.whole(device), network, device)


def _through(part: Callable[[Any], Any], network: Network, device: torch.device) -> Callable[[Batch], Any]:
    """What a part of a network gives for a batch, without gradients."""

    def send(batch: Batch) -> Any:
        with torch.no_grad():
            return part(view_of(network, batch, device))

    return send


def open_quick(sender: Sender, layers: Sequence[str], device: torch.device) -> Send:
    """As ``sender.open``, in the layout that is quickest on the device.

    For sums and fitting, which bear a change in the last digit.

    What reads such maps on a CPU, a top above all, runs in their layout, too.
    """
    if not isinstance(sender, NetworkSender) or sender.norms:
        send = sender.open(layers, device)
        maps = [name for name in layers if sender.layer(name).kind == "map"] if device.type == "cpu" else []
        return (lambda batch: _channels_last(send(batch), maps)) if maps else send
    network = sender.network
    if isinstance(network, Shelved):
        return sender.open(layers, device)  # what is kept serves the measurement, too
    return _through(quick(network, list(dict.fromkeys(layers)), device), network, device)


def _from_shelf(network: Shelved, names: Sequence[str], device: torch.device) -> Send:
    """What a network gives, from where its activations are kept."""
    given = network.shelf.open(names, device)

    def send(batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            return given(view_of(network, batch, device), batch.ids)

    return send


def _channels_last(values: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    return values | {name: values[name].contiguous(memory_format=torch.channels_last) for name in names}


def view_of(network: Network, batch: Batch, device: torch.device) -> Any:
    """A batch's raw inputs as this network wants them, on the device.

    Raises:
        NetworkError: naming the network and the samples, if its view fails on them.
    """
    try:
        seen = network.view(batch.inputs)
    except Exception as error:  # a view of the user's own may raise anything
        if isinstance(error, StitchError) or out_of_memory(error):
            raise
        raise NetworkError(
            f"The view of {network.name!r} fails on the samples {int(batch.ids[0])} to {int(batch.ids[-1])} "
            f"({type(error).__name__}: {first_line(error)}): expected inputs of the network for every sample of the "
            "data; check its view=, and these samples."
        ) from error
    check_view(network, seen, len(batch))
    return to_device(seen, device)


def check_view(network: Network, seen: Any, n: int) -> None:
    """Refuse what a view made of ``n`` samples where it is no tensor, or holds another number of samples.

    Raises:
        NetworkError: naming the view's network.
    """
    if isinstance(seen, list) and of_images(seen):
        raise NetworkError(
            f"The images have several sizes, and the view of {network.name!r} "
            f"{'leaves them so' if network.has_view else 'is not set'}: "
            "expected a view= that brings them to one size, such as the evaluation's own transform; or resize them "
            "in the data."
        )
    try:
        found = network.data_input(seen)
    except NetworkError:  # a forward says more
        return
    if not isinstance(found, Tensor):
        raise NetworkError(
            f"The view of {network.name!r} returned {kind_of(found)}: expected a tensor of {n} samples; end it with "
            f"torch.as_tensor()."
        )
    if not found.ndim or len(found) != n:
        raise NetworkError(
            f"The view of {network.name!r} returned {len(found) if found.ndim else 1} samples for {n}: expected one "
            "for each, in their order; check its view=."
        )


def kind_of(value: Any) -> str:
    """A value's class, as a sentence has it."""
    return f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
