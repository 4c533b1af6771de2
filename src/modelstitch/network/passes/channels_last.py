"""A network part in the layout in which CPU convolutions of images are quickest: channels next to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..network import Network
from ..segment import FromInput
from .in_place import reads_strides, write_in_place
from .scale_norms import scale_norms
from .stream_out import Take, hand_over

_CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.conv2d.default)


class ChannelsLast(nn.Module):
    """Input -> {layer: activation} as the part gives it, up to rounding; maps come in channels-last memory."""

    def __init__(self, part: FromInput) -> None:
        super().__init__()
        self.part = part.to(memory_format=torch.channels_last)

    def forward(self, inputs: Any) -> Any:
        """Call it as the part is called with one argument."""
        if isinstance(inputs, Tensor) and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return self.part(inputs)


def quick(
    network: Network, layers: Sequence[str], device: torch.device, take: Take | None = None, *, apart: bool = False
) -> nn.Module:
    """Input -> {layer: activation} on a device, without gradients, writing in place.

    On a CPU, where it convolves images, channels last.

    For sums, measures and fitting, which bear a change in the last digit; a stitched model is run as its donors are.

    Args:
        take: makes of (layer, activation) what is returned instead, as soon as the activation is there.
        apart: what ``take`` returns shares no memory with the activation, which may then be overwritten.
    """

    def edit(graph: fx.Graph) -> dict[str, nn.Module]:
        if device.type == "cpu" and not reads_strides(graph):
            scale_norms(graph)
        takers = hand_over(graph, layers, take) if take is not None else {}
        write_in_place(graph, takers if apart else ())
        return takers

    part = network.taps(layers, edit=edit).to(device)
    graph = part.body.graph
    images = any(_convolves_images(node) for node in graph.nodes)
    return ChannelsLast(part) if device.type == "cpu" and images and not reads_strides(graph) else part


def _convolves_images(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return node.target in _CONVOLUTIONS and isinstance(value, Tensor) and value.ndim == 4
