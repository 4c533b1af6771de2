"""Weight matching: put a network's channels in the order in which its weights are most like another's.

After Ainsworth, Hayase and Srinivasa (2023): one group of channels after another is set by the best assignment, all
others held, until nothing changes. The network computes the same function afterwards. For the zoo's convnets, which are
chains of convolutions, norms, residual blocks, a pool and a head.
"""

from __future__ import annotations

import copy

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ..errors import NetworkError
from ..zoo.nets.parts import PreActivated, Residual

GroupedAxes = dict[
    str, tuple[int | None, ...]
]  # tensor -> for each of its dimensions the group of channels, None: fixed
_NORM = ("weight", "bias", "running_mean", "running_var")
PASSES = 50


class _OutputReader:
    """Walks a chain and notes which dimension of which tensor belongs to which group of channels."""

    def __init__(self) -> None:
        self.axes: GroupedAxes = {}
        self.groups = 0
        self.at: int | None = None  # the group of the channels that flow on

    def new(self) -> int:
        self.groups += 1
        return self.groups - 1

    def conv(self, name: str, inner: int | None, outer: int | None, module: nn.Module) -> None:
        self.axes[f"{name}.weight"] = (outer, inner)
        if getattr(module, "bias", None) is not None:
            self.axes[f"{name}.bias"] = (outer,)

    def norm(self, name: str, group: int | None) -> None:
        self.axes |= {f"{name}.{key}": (group,) for key in _NORM}

    def part(self, name: str, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            outer = self.new()
            self.conv(name, self.at, outer, module)
            self.at = outer
        elif isinstance(module, nn.BatchNorm2d):
            self.norm(name, self.at)
        elif isinstance(module, nn.Linear):
            self.axes |= {f"{name}.weight": (None, self.at), f"{name}.bias": (None,)}
        elif isinstance(module, Residual):
            self._residual(name, module)
        elif isinstance(module, PreActivated):
            self._preactivated(name, module)
        elif isinstance(module, nn.Sequential):
            for child, inner in module.named_children():
                self.part(f"{name}.{child}", inner)
        elif any(True for _ in module.parameters()):
            raise NetworkError(
                f"Channels cannot be matched through {name!r} ({type(module).__name__}): use a convnet of the zoo."
            )

    def _residual(self, name: str, module: Residual) -> None:
        inner, below = self.new(), self.at
        if isinstance(module.shortcut, nn.Identity):
            outer = below
        else:
            outer = self.new()
            self.conv(f"{name}.shortcut.0", below, outer, module)
            self.norm(f"{name}.shortcut.1", outer)
        self.conv(f"{name}.conv1", below, inner, module.conv1)
        self.norm(f"{name}.norm1", inner)
        self.conv(f"{name}.conv2", inner, outer, module.conv2)
        self.norm(f"{name}.norm2", outer)
        self.at = outer

    def _preactivated(self, name: str, module: PreActivated) -> None:
        below = self.at
        outer = below if module.shortcut is None else self.new()
        if module.shortcut is not None:
            self.conv(f"{name}.shortcut", below, outer, module.shortcut)
        group = below
        for i, conv in enumerate(module.convs):
            self.norm(f"{name}.norms.{i}", group)
            following = outer if i == len(module.convs) - 1 else self.new()
            self.conv(f"{name}.convs.{i}", group, following, conv)
            group = following
        self.at = outer


def channel_groups(module: nn.Module) -> GroupedAxes:
    """Which dimensions of which tensors share an order of channels.

    Raises:
        NetworkError: if the module is no chain of the zoo's parts.
    """
    reader = _OutputReader()
    for name, part in module.named_children():
        reader.part(name, part)
    return reader.axes


def permuted(module: nn.Module, orders: dict[int, Tensor]) -> nn.Module:
    """The same function with the channels of each group in another order: new channel i is the old ``order[i]``."""
    axes, twin = channel_groups(module), copy.deepcopy(module)
    state = module.state_dict()
    twin.load_state_dict({name: _put(value, axes.get(name, ()), orders) for name, value in state.items()})
    return twin


def match_channels(target: nn.Module, module: nn.Module, *, seed: int = 0) -> nn.Module:
    """``module`` with its channels in the order that is most like ``target``'s; the function stays the same.

    Raises:
        NetworkError: if the two are no chains of the zoo's parts of one architecture.
    """
    axes = channel_groups(module)
    a = {k: v.double() for k, v in target.state_dict().items()}
    b = {k: v.double() for k, v in module.state_dict().items()}
    if [(k, v.shape) for k, v in a.items()] != [(k, v.shape) for k, v in b.items()]:
        raise NetworkError("Channels can be matched between networks of one architecture only.")
    learned = [n for n, _ in module.named_parameters()]
    members: dict[int, list[tuple[str, int]]] = {}
    for name in learned:
        for dim, group in enumerate(axes[name]):
            if group is not None:
                members.setdefault(group, []).append((name, dim))
    orders = {g: torch.arange(b[m[0][0]].shape[m[0][1]]) for g, m in members.items()}
    generator = torch.Generator().manual_seed(seed)
    for _ in range(PASSES):
        changed = False
        for at in torch.randperm(len(members), generator=generator).tolist():
            group = list(members)[at]
            gain = sum(_likeness(a[name], b[name], axes[name], dim, group, orders) for name, dim in members[group])
            _, best = linear_sum_assignment(gain.numpy(), maximize=True)  # type: ignore[union-attr]
            order = torch.as_tensor(best)
            changed |= not torch.equal(order, orders[group])
            orders[group] = order
        if not changed:
            break
    return permuted(module, orders)


def _likeness(
    a: Tensor, b: Tensor, axes: tuple[int | None, ...], dim: int, group: int, orders: dict[int, Tensor]
) -> Tensor:
    """Inner products of a's channels with b's along ``dim``, all other dimensions of b in their present order."""
    others = {g: o for g, o in orders.items() if g != group}
    b = _put(b, axes, others)
    return a.movedim(dim, 0).flatten(1) @ b.movedim(dim, 0).flatten(1).T if a.ndim > 1 else torch.outer(a, b)


def _put(value: Tensor, axes: tuple[int | None, ...], orders: dict[int, Tensor]) -> Tensor:
    for dim, group in enumerate(axes):
        if group is not None and group in orders:
            value = value.index_select(dim, orders[group].to(value.device))
    return value
