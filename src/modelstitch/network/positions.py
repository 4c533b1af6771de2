"""What the positions of a value lie on: an image, a line such as time, or a text."""

from __future__ import annotations

from torch import Tensor, fx

_AXIS_GONE = (".mean.", ".sum.", ".amax.", ".amin.")


def positions_over(graph: fx.Graph, data: fx.Node) -> dict[fx.Node, str]:
    """ "image", "line", "text" or "" (unknown) for every value that is computed from the data input.

    Whole numbers of two sizes are a text, whatever reads them. Else the last convolution before a value tells; before any,
    the input itself: four sizes are a batch of images, three one of sequences, and of two nothing is known. Of an image
    one axis of which is averaged away a line is left; one plane taken out of it may be read by rows, or patch by patch.
    """
    value = data.meta.get("val")
    if not isinstance(value, Tensor):
        return {}
    if not value.is_floating_point() and value.ndim == 2:
        first = "text"
    else:
        first = {4: "image", 3: "line"}.get(value.ndim, "")
    found = {data: first}
    for node in graph.nodes:
        below = [source for source in node.all_input_nodes if source in found]
        if below and node is not data:
            found[node] = first if first == "text" else _own(node) or _inherited(node, below, found)
    return found


def _own(node: fx.Node) -> str:
    name = f".{node.target}."
    return "image" if ".conv2d." in name else "line" if ".conv1d." in name else ""


def _inherited(node: fx.Node, below: list[fx.Node], found: dict[fx.Node, str]) -> str:
    """That of the arguments of the value's own shape first: a gate on channels says nothing of the map that it weighs."""
    own = _sizes(node)
    if len(own) == 3 and len(_sizes(below[0])) == 4 and found[below[0]] == "image":
        name = str(node.target)
        if any(mark in name for mark in _AXIS_GONE):
            return "line"
        if ".select." in name:
            return ""
    ordered = sorted(below, key=lambda source: _sizes(source) != own)
    return next((found[source] for source in ordered if found[source]), "")


def _sizes(node: fx.Node) -> list[str]:
    value = node.meta.get("val")
    return [str(size) for size in value.shape] if isinstance(value, Tensor) else []
