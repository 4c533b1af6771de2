"""Activations that are handed over as soon as they are there, so that not all of them have to be held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx, nn

Take = Callable[[str, Tensor], Any]


class HandOver(nn.Module):
    """An activation -> take(layer, activation)."""

    def __init__(self, layer: str, take: Take) -> None:
        super().__init__()
        self.layer, self.take = layer, take

    def forward(self, activation: Tensor) -> Any:
        """What is returned stands in the activation's place."""
        return self.take(self.layer, activation)


def hand_over(graph: fx.Graph, layers: Sequence[str], take: Take) -> dict[str, nn.Module]:
    """Let a graph return what ``take`` makes of each of its activations, made before the next one runs.

    A layer that is named twice is one output. ``take`` must leave the activation as it is. The modules that the graph
    now calls are returned by name.
    """
    output = graph.output_node()
    (stops,) = output.args
    modules: dict[str, nn.Module] = {}
    results = []
    for at, (layer, stop) in enumerate(zip(dict.fromkeys(layers), stops, strict=True)):  # type: ignore[arg-type]
        modules[f"hand_over_{at}"] = HandOver(layer, take)
        with graph.inserting_after(stop):
            results.append(graph.call_module(f"hand_over_{at}", (stop,)))
    output.args = (tuple(results),)
    return modules
