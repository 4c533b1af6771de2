"""Where a stitch gets its bottom activations: a network, or a stand-in that a control uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.data import Batch
from ..network import FromInput, Layer, Network
from ..network.norms import Norm, own_statistics
from ..network.passes import quick
from ..support.device import to_device
from .sizes import check_view

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

    def whole(self, device: torch.device) -> Callable[[Batch], Tensor]:
        """A function from a batch to the sender's own output, without gradients."""
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
        taps = (self._taps or network.taps(list(dict.fromkeys(layers)), output=output)).to(device)

        def send(batch: Batch) -> dict[str, Tensor]:
            with torch.no_grad():
                result: dict[str, Tensor] = taps(view_of(network, batch, device))
            return result

        return send

    def whole(self, device: torch.device) -> Callable[[Batch], Tensor]:
        network, full = self.network, self.network.full().to(device)

        def send(batch: Batch) -> Tensor:
            with torch.no_grad():
                result: Tensor = full(view_of(network, batch, device))
            return result

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
    taps = quick(network, list(dict.fromkeys(layers)), device)

    def send_quick(batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            result: dict[str, Tensor] = taps(view_of(network, batch, device))
        return result

    return send_quick


def _channels_last(values: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    return values | {name: values[name].contiguous(memory_format=torch.channels_last) for name in names}


def view_of(network: Network, batch: Batch, device: torch.device) -> Any:
    """A batch's raw inputs as this network wants them, on the device."""
    seen = network.view(batch.inputs)
    check_view(network, seen, len(batch))
    return to_device(seen, device)
