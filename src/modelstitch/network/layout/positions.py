"""What the positions of a value lie on: an image, a line such as time, or a text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, fx

from ..graph import new_order, sizes, sources

_MAP_TO_MAP = ("conv2d", "conv_transpose2d", "pool2d", "upsample", "interpolate", "pixel_shuffle", "pixel_unshuffle")
_RESHAPES = (".view.", ".reshape.", "._unsafe_view.", ".unflatten.", ".flatten.")


@dataclass(frozen=True)
class Over:
    """What positions lie on.

    Attributes:
        what: "image", "line", "text", or "" where the graph does not tell.
        grid: (height, width) of the last map before the value: of an image, the aspect that its tokens lie in.
        is_map: whether the value itself is such a map.
    """

    what: str = ""
    grid: tuple[int, int] | None = None
    is_map: bool = False


def positions_over(graph: fx.Graph, data: fx.Node, axes: dict[fx.Node, int]) -> dict[fx.Node, Over]:
    """For every value that is computed from the data input; ``axes`` are those of the channels, where they are known.

    Whole numbers of two sizes are a text, whatever reads them. Else the last convolution over neighbours tells; before
    any, the input itself: four sizes are a batch of images, three one of sequences, and of two nothing is known. A map
    that loses one of its two axes, averaged away or merged with the channels, leaves a line; one plane taken out of an
    image may be read by rows or patch by patch, and what is made of a vector has no known positions.
    """
    value = data.meta.get("val")
    if not isinstance(value, Tensor):
        return {}
    if not value.is_floating_point() and value.ndim == 2:
        found = {data: Over("text")}
    elif value.ndim == 4:
        found = {data: Over("image", _grid(data, 1), is_map=True)}
    else:
        found = {data: Over("line" if value.ndim == 3 else "")}
    for node in graph.nodes:
        below = [source for source in sources(node) if source in found]
        if below and node is not data and isinstance(node.meta.get("val"), Tensor):
            found[node] = found[data] if found[data].what == "text" else _of(node, below, found, axes)
    return found


def _of(node: fx.Node, below: list[fx.Node], found: dict[fx.Node, Over], axes: dict[fx.Node, int]) -> Over:
    name, own = f".{node.target}.", sizes(node)
    if len(own) == 4 and any(mark in name for mark in _MAP_TO_MAP):
        grid = _grid(node, 1)
        return Over("image", grid, is_map=grid is not None)
    if (".conv1d." in name or ".conv_transpose1d." in name) and _kernel(node) > 1:
        return Over("line")
    source = _source(node, below, found)
    over = found[source]
    if over.is_map and len(own) == 3:
        return _flattened(node, source, over, axes)
    if over.is_map and len(own) == 4:
        grid = _grid_of_map(node, source, axes)
        return replace(over, grid=grid or over.grid, is_map=grid is not None)
    if len(own) == 2 < len(sizes(source)) and own[0] == sizes(source)[0]:
        return Over()  # a vector; in rows of all samples' positions they are still there
    return replace(over, is_map=False)


def _grid_of_map(node: fx.Node, source: fx.Node, axes: dict[fx.Node, int]) -> tuple[int, int] | None:
    """The grid of what an operation makes of a map, in four sizes; None where it is no map any more."""
    moved = new_order(node) is not None
    axis = axes.get(node, 1 if source not in axes and not moved else 0)  # an image input has its channels first
    reshaped = any(mark in f".{node.target}." for mark in _RESHAPES)
    return _grid(node, axis) if axis and not reshaped else None


def _flattened(node: fx.Node, source: fx.Node, over: Over, axes: dict[fx.Node, int]) -> Over:
    """Of a map (b, c, h, w) in whatever order, as three sizes: tokens of its grid, or what is left of a lost axis."""
    assert over.grid is not None
    height, width = over.grid
    axis, own = axes.get(node), sizes(node)
    if axis in (1, 2) and min(height, width) > 1 and own[3 - axis] == height * width:
        return Over("image", over.grid)
    return Over() if ".select." in f"{node.target}" and min(height, width) > 1 else Over("line")


def _source(node: fx.Node, below: list[fx.Node], found: dict[fx.Node, Over]) -> fx.Node:
    """The argument that says it: of those of the value's own shape one over an image, if any.

    Else the first that tells.

    A gate on channels says nothing of the map that it weighs.
    """
    own = sizes(node)
    alike = [source for source in below if sizes(source) == own]
    images = [source for source in alike if found[source].what == "image"]
    told = [source for source in (*alike, *below) if found[source].what]
    return [*images, *told, *below][0]


def _grid(node: fx.Node, axis: int) -> tuple[int, int] | None:
    """The sizes of the two axes beside the batch and the channels, if both are numbers."""
    found = [size for at, size in enumerate(sizes(node)) if at not in (0, axis)]
    numbers = [size for size in found if isinstance(size, int)]
    return (numbers[0], numbers[1]) if len(found) == len(numbers) == 2 else None


def _kernel(node: fx.Node) -> int:
    weight = node.args[1] if len(node.args) > 1 else None
    last = sizes(weight)[-1:] if isinstance(weight, fx.Node) else []
    return last[0] if last and isinstance(last[0], int) else 1
