"""The table of a network's layers, as the command line and a notebook show it."""

from __future__ import annotations

from collections.abc import Collection

from .layers import Layer

HEAD = ("layer", "shape", "kind", "parameters below", "depth", "cut")


def row_of(layer: Layer, blocks: Collection[str]) -> list[str]:
    """A layer's row: where it is no exact cut, why not."""
    return [
        layer.name,
        "x".join(map(str, layer.shape)),
        f"{layer.kind} ({layer.over})" if layer.kind in ("tokens", "sequence") and layer.over else layer.kind,
        f"{layer.parameters:,}",
        f"{layer.depth:.2f}",
        ("block" if layer.name in blocks else "exact") if layer.exact else f"no: {layer.why}",
    ]


def said_of(layers: Collection[Layer], blocks: Collection[str], *, view: str, weights: str, was_run: bool) -> list[str]:
    """What stands below the table: the view, the weights, and how many layers can be cut."""
    exact = sum(layer.exact for layer in layers)
    told = [
        f"View: {view}. Weights: {weights}.",
        f"{len(layers)} layers, {exact} exact cuts, {len(blocks)} of them block cuts (what compare visits).",
    ]
    if not was_run:
        told.append("The model was not run: without weights in memory the trace is not checked against the module.")
    return told
