"""Take an affine map of the channels into the weights beside a cut, where the algebra allows it exactly.

Behind a cut: the last convolution or linear layer of a bottom, also through a BatchNorm with frozen statistics. Before
a cut: every reader of a top's activation, if each is a convolution or a linear layer, also through average pooling.
A map with a bias cannot pass a convolution that pads with zeros: the padding would have to be the bias.
"""

from __future__ import annotations

import copy
import operator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, fx, nn

from ..errors import FoldError
from .graph import NORM, new_order, option, stored, tidy
from .layout.arrange import CHANNEL_AXIS
from .segment import FromInput, FromLayer, Segment

S = TypeVar("S", bound=Segment)

_aten = torch.ops.aten
_CONVS = {_aten.conv1d.default: 1, _aten.conv2d.default: 2, _aten.conv3d.default: 3}
_LINEAR = _aten.linear.default
_SAME = (_aten.clone.default, _aten.contiguous.default, _aten.alias.default, _aten.detach.default)
_ADAPTIVE = (_aten.adaptive_avg_pool1d.default, _aten.adaptive_avg_pool2d.default)
_POOLS = (_aten.avg_pool1d.default, _aten.avg_pool2d.default)
_FLAT = (_aten.view.default, _aten.reshape.default, _aten.squeeze.dims, _aten.squeeze.dim, _aten.flatten.using_ints)


def absorb_below(segment: FromInput, weight: Tensor, bias: Tensor) -> tuple[FromInput, str]:
    """A bottom that also does y = weight x + bias on its channels, and the name of the layer that took the map in.

    Args:
        segment: input -> activation with p channels; it is not changed.
        weight, bias: shapes (q, p) and (q,).

    Raises:
        FoldError: naming the operation that stands in the way.
    """
    twin = shared_copy(segment)
    graph = twin.body.graph
    (last,) = next(n for n in graph.nodes if n.op == "output").args[0]
    node, weight, bias = last, weight.double(), bias.double()
    while True:
        if len(node.users) > 1:
            raise FoldError(f"{_name(node)} is read by others than the map: expected the map to be its only reader.")
        if node.target is operator.getitem and node.args[0].target is NORM:
            weight, bias, node = _through_norm(node.args[0], twin.body, weight, bias)
        elif node.target in _SAME:
            node = node.args[0]
        else:
            break
    if node.target not in (*_CONVS, _LINEAR):
        raise FoldError(f"the bottom ends with {_name(node)}: expected a convolution or a linear layer.")
    _check_groups(node)
    old = _parameter(twin.body, node.args[1])
    if old.shape[0] != weight.shape[1]:
        raise FoldError(f"{_name(node)} gives {old.shape[0]} channels, the map reads {weight.shape[1]}.")
    offset = _parameter(twin.body, option(node, 2, "bias"))
    new = torch.tensordot(weight, old.double(), 1)
    shift = bias if offset is None else bias + weight @ offset.double()
    if node is not last:  # what stood between is part of the map now
        last.replace_all_uses_with(node)
    return twin, _replace(twin.body, node, new, shift, like=old)


def absorb_above(segment: FromLayer, weight: Tensor, bias: Tensor, kind: str) -> tuple[FromLayer, list[str]]:
    """A top that does y = weight x + bias on its activation's channels first, and the layers that took the map in.

    Args:
        segment: activation with q channels -> value; it is not changed.
        weight, bias: shapes (q, p) and (q,).
        kind: layout of the activation: "map", "sequence", "grid", "tokens", "vector", "volume" or "lattice".

    Raises:
        FoldError: naming the operation that stands in the way.
    """
    twin = shared_copy(segment)
    start = next(n for n in twin.body.graph.nodes if n.op == "placeholder")
    weight, bias = weight.double(), bias.double()
    axis = CHANNEL_AXIS[kind]
    place = _Channels(axis, {"map": 4, "sequence": 3, "volume": 5}.get(kind, axis + 1))
    readers = list(dict.fromkeys(_readers(start, place)))
    if not readers:
        raise FoldError("nothing in the top reads the activation.")
    biased = bool((bias != 0).any())
    names = []
    for node in readers:
        old = _parameter(twin.body, node.args[1])
        _check_groups(node)
        if node.target in _CONVS and biased and _pads(node):
            raise FoldError(
                f"{_name(node)} pads with zeros and the map has a bias: expected no padding or no bias, since the "
                "padding would have to be the bias."
            )
        if old.shape[1] != len(bias):
            raise FoldError(f"{_name(node)} reads {old.shape[1]} values, the map gives {len(bias)} channels.")
        # W (M x + m) + b = (W M) x + (b + sum over the kernel of W m)
        new = torch.movedim(torch.tensordot(old.double(), weight, ([1], [0])), -1, 1)
        shift = torch.tensordot(old.double().flatten(2).sum(2) if old.ndim > 2 else old.double(), bias, 1)
        offset = _parameter(twin.body, option(node, 2, "bias"))
        shift = shift if offset is None else shift + offset.double()
        names.append(_replace(twin.body, node, new, shift, like=old))
    return twin, names


def shared_copy(segment: S) -> S:
    """A copy whose graph may be changed; its tensors are those of the segment."""
    tensors = [*segment.parameters(), *segment.buffers()]
    return copy.deepcopy(segment, {id(t): t for t in tensors})


class _Channels(NamedTuple):
    """Which dimension of a value holds the channels, as the value passes position-wise operations."""

    channel: int
    rank: int


def _readers(node: fx.Node, place: _Channels) -> list[fx.Node]:
    """The convolutions and linear layers that read a value, past what commutes with a map of the channels."""
    found = []
    for user in node.users:
        if user.op == "output":
            raise FoldError("the top gives the activation out as it is: expected layers behind the cut.")
        if user.target is _aten.sym_size.int:
            if int(option(user, 1, "dim", 0)) % place.rank == place.channel:
                raise FoldError(f"{_name(user)} reads the number of channels.")
            continue
        axis = 1 if user.target in _CONVS else place.rank - 1
        if user.target in (*_CONVS, _LINEAR) and user.args[0] is node and place.channel == axis:
            found.append(user)
            continue
        passed = _passed(user, place)
        if passed is None:
            raise FoldError(
                f"{_name(user)} stands between the map and the next layer: expected a convolution, a linear layer or "
                "average pooling, past which an affine map can be moved."
            )
        found += _readers(user, passed)
    return found


def _passed(user: fx.Node, place: _Channels) -> _Channels | None:
    """Where the channels are after an operation that commutes with a map of them; None after any other."""
    target, second = user.target, place.channel == 1
    if target in _SAME or (second and _pools_alike(user)):
        return place
    if target is _aten.mean.dim:
        return _averaged(user, place)
    if target in (_aten.select.int, _aten.slice.Tensor) and place.channel == place.rank - 1:
        gone, dim = target is _aten.select.int, int(option(user, 1, "dim", 0)) % place.rank
        return None if dim in (0, place.channel) else _Channels(place.channel - gone, place.rank - gone)
    order = new_order(user)
    if order is not None:
        return _Channels(order.index(place.channel), place.rank)
    # One position for each sample: the linear layer behind checks that it reads as many values as channels.
    flat = target in _FLAT and {reader.target for reader in user.users} <= {_LINEAR} and second
    return _Channels(1, 2) if flat else None


def _averaged(user: fx.Node, place: _Channels) -> _Channels | None:
    """Where the channels are after a mean over positions; None if it is over samples or channels."""
    dims = {int(d) % place.rank for d in option(user, 1, "dim", ())}
    if place.channel in dims or 0 in dims:
        return None
    if option(user, 2, "keepdim", False):
        return place
    return _Channels(place.channel - sum(d < place.channel for d in dims), place.rank - len(dims))


def _pools_alike(user: fx.Node) -> bool:
    """Whether it is an average pooling that weighs all positions of a window alike, and nothing beside."""
    if user.target not in _POOLS:
        return user.target in _ADAPTIVE
    pads = any(_several(option(user, 3, "padding", 0)))
    return not (pads or option(user, 4, "ceil_mode", False) or option(user, 6, "divisor_override"))


def _through_norm(node: fx.Node, body: fx.GraphModule, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, fx.Node]:
    """The map before a BatchNorm with frozen statistics that does what the map after it did, and what it reads."""
    x, gain, shift, mean_node, var_node, _, eps = node.args
    mean, var = _parameter(body, mean_node), _parameter(body, var_node)
    assert isinstance(x, fx.Node)
    scale = (var.double() + float(eps)).rsqrt()  # type: ignore[arg-type]
    gain_value, shift_value = _parameter(body, gain), _parameter(body, shift)
    if gain_value is not None:
        scale = scale * gain_value.double()
    offset = -mean.double() * scale
    if shift_value is not None:
        offset = offset + shift_value.double()
    return weight * scale, weight @ offset + bias, x


def _replace(body: fx.GraphModule, node: fx.Node, weight: Tensor, bias: Tensor, *, like: Tensor) -> str:
    """Give one operation its own weight and bias; the name of the layer it belongs to."""
    source = str(node.args[1].target)  # type: ignore[union-attr]
    base = f"folded_{sum(name.startswith('folded_') for name, _ in body.named_parameters(recurse=False)) // 2}"
    nodes = []
    with body.graph.inserting_before(node):
        for key, value in (("weight", weight), ("bias", bias)):
            parameter = nn.Parameter(value.to(like.dtype).to(like.device), requires_grad=False)
            body.register_parameter(f"{base}_{key}", parameter)
            nodes.append(body.graph.get_attr(f"{base}_{key}"))
    node.args = (node.args[0], *nodes, *node.args[3:])
    node.kwargs = {key: value for key, value in node.kwargs.items() if key != "bias"}
    tidy(body)
    return source.removesuffix(".weight")


def _parameter(body: fx.GraphModule, node: Any) -> Any:
    """The tensor behind a get_attr node; None stays None."""
    found = stored(body, node)
    if found is None and node is not None:
        raise FoldError(f"{_name(node)} has no stored weight: expected a parameter of the network.")
    return found


def _check_groups(node: fx.Node) -> None:
    groups = option(node, 6, "groups", 1) if node.target in _CONVS else 1
    if groups != 1:
        raise FoldError(f"{_name(node)} has {groups} groups: expected one, since the map mixes all channels.")


def _pads(node: fx.Node) -> bool:
    padding = option(node, 4, "padding", 0)
    return padding != "valid" if isinstance(padding, str) else any(_several(padding))


def _several(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _name(node: Any) -> str:
    """An operation by its kind and, where it has a weight, the layer it belongs to."""
    if not isinstance(node, fx.Node):
        return "a constant"
    kind = str(getattr(node.target, "__name__", node.target)).removesuffix(".default")
    for source in node.all_input_nodes:
        if source.op == "get_attr" and str(source.target).endswith((".weight", ".bias")):
            return f"{kind} of {str(source.target).rpartition('.')[0]!r}"
    return kind
