"""What a sweep visits: the ends of the units that a network's author repeats, its stem and its pool.

A unit is a numbered part that holds layers with weights: a child of a ``ModuleList`` or ``Sequential``, or ``block1``,
``block2``, ... of one class. Of units inside units the innermost ones count, where they can be cut: of ``layer1``, a
list of blocks, its blocks. A part of a class of its own that is repeated is not taken apart into unlike pieces
(attention and its MLP) or single layers. A network without such units is visited layer by layer: where a convolution,
matrix product or pooling made something new. What has no weights and makes nothing smaller (paddings, activations,
dropouts, identities, norms) is never visited.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SIDE = ("torch.nn.modules.activation", "torch.nn.modules.dropout", "torch.nn.modules.padding")


@dataclass(frozen=True)
class Value:
    """An exact cut: the calls of modules that gave it, the share of weighted operations below, and a sample's shape."""

    calls: tuple[str, ...]
    depth: float
    shape: tuple[int, ...]

    @property
    def step(self) -> tuple[float, tuple[int, ...]]:
        """What changes where something new was made; (c, 1, 1) is (c,) flattened."""
        return self.depth, tuple(size for size in self.shape if size != 1)


def visited(module: nn.Module, values: Sequence[Value]) -> list[tuple[int, str]]:
    """Which of the exact cuts, in forward order, a sweep visits, and by what name it calls each."""
    parts = _Parts(module)
    ends = {call: at for at, value in enumerate(values) for call in value.calls}
    # blocks of several layers; where there are none, of one with its norm and activation
    units = parts.units(ends, 2) or parts.units(ends, 1)
    if not units:
        return [told for run in _runs(values) if (told := parts.telling(run, values))]
    found = {ends[call]: call for unit in units for call in _calls(unit, ends)}
    first, last = min(found), max(found)
    for part in parts.beside(units):
        found |= {ends[call]: call for call in _calls(part, ends) if ends[call] > first and ends[call] not in found}
    beside = parts.outside(units, values, first, last, max(found))
    return sorted((dict(beside) | found).items())


def _runs(values: Sequence[Value], start: int = -1) -> list[list[int]]:
    """Neighbours that nothing new lies between, of those after ``start``."""
    runs: list[list[int]] = []
    for at in range(start + 1, len(values)):
        if not runs or values[at].step != values[at - 1].step:
            runs.append([])
        runs[-1].append(at)
    return runs


def _calls(part: str, ends: Mapping[str, int]) -> list[str]:
    return [call for call in ends if call.partition("#")[0] == part]


class _Parts:
    """The tree of a module: which parts hold weights, are lists, or are numbered."""

    def __init__(self, module: nn.Module) -> None:
        self.modules = dict(module.named_modules())
        own = {path: any(p.ndim >= 2 for p in part.parameters(recurse=False)) for path, part in self.modules.items()}
        self.weights: dict[str, int] = defaultdict(int)
        for path in self.modules:
            for above in ("", *_above(path), path) if path and own[path] else ():
                self.weights[above] += 1

    def units(self, ends: Mapping[str, int], least: int, path: str = "", inside: bool = False) -> list[str]:
        """The innermost numbered parts below a path that end in a cut, in the tree's order.

        Args:
            ends: the cut that each call gave.
            least: how many layers with weights they hold.
            inside: the path lies inside a unit of a class of its own.
        """
        numbered, found = self._numbered(path, least, alike=inside), []
        for part, child in self._children(path):
            own = part in numbered and not isinstance(child, _LISTS)
            inner = self.units(ends, 2 if own or inside else least, part, inside or own)
            mine = _calls(part, ends) if part in numbered else []
            last = {ends[call] for unit in inner for call in _calls(unit, ends)}
            found += inner + ([part] if any(ends[call] not in last for call in mine) else [])
        return found

    def _children(self, path: str) -> list[tuple[str, nn.Module]]:
        """The parts that a part is made of, without what has another path, too."""
        named = ((f"{path}.{name}".lstrip("."), child) for name, child in self.modules[path].named_children())
        return [(part, child) for part, child in named if part in self.modules]

    def _numbered(self, path: str, least: int, alike: bool) -> set[str]:
        """Children whose names differ by a number, of one class or in a list: two, or all that the list holds."""
        listed, groups = isinstance(self.modules[path], _LISTS), defaultdict(list)
        weighted = [(part, child) for part, child in self._children(path) if self.weights[part]]
        for part, child in weighted:
            name = part.rpartition(".")[2]
            if self.weights[part] >= least and _has_parts(child) and re.search(r"\d", name):
                kind = type(child) if alike or not listed else None
                groups[re.sub(r"\d+[a-z]?(?![a-z])", "#", name), kind].append(part)
        several = [group for group in groups.values() if len(group) > 1 or (listed and len(group) == len(weighted))]
        return {part for group in several for part in group}

    def beside(self, units: Iterable[str]) -> list[str]:
        """What lies in lists beside units: transitions, reductions, a last convolution."""
        held = {above for unit in units for above in _above(unit)} | {""}
        lists = [path for path in held if isinstance(self.modules[path], _LISTS)]
        found = [part for path in lists for part, _ in self._children(path)]
        return [part for part in found if self.weights[part] and part not in held]

    def _stage(self, part: str) -> bool:
        """Whether a part that holds units is itself one of several of a class of its own.

        What lies in it is no stem and no tail.
        """
        above = part.rpartition(".")[0]
        return not isinstance(self.modules[part], _LISTS) and part in self._numbered(above, 2, alike=False)

    def telling(
        self, run: Sequence[int], values: Sequence[Value], *, outside: Sequence[str] = (), pools: bool = False
    ) -> tuple[int, str] | None:
        """Of values between which nothing new was made the one to visit, and its name; None if there is none.

        A part with weights of its own, outermost first; else a pool; else the last layer with weights.

        Args:
            outside: nothing inside these units, nor inside other parts that hold none of them.
            pools: nothing but pools.
        """
        held = self._holding(outside)
        calls = ((at, call, call.partition("#")[0]) for at in run for call in values[at].calls)
        met = [one for one in calls if self._stands_alone(one[2], held, outside)]
        weighted = [one for one in met if self.weights[one[2]] and one[2] not in held]
        found = self._pool(met) if _pools(values, run[0]) else None
        if weighted and not pools:
            found = self._outermost(weighted) or found or weighted[-1]
        return found[:2] if found else None

    def _holding(self, units: Sequence[str]) -> set[str]:
        """The parts that hold units, without those whose other parts are no stem and no tail either."""
        held = {above for unit in units for above in _above(unit)}
        return held - {part for part in held if self._stage(part)}

    def _pool(self, met: Sequence[tuple[int, str, str]]) -> tuple[int, str, str] | None:
        """Of parts that may make maps smaller the outermost, of several the first."""
        pools = [one for one in met if self._is_pool(one[2])]
        return min(pools, key=lambda one: (one[1].count("."), one[0], len(one[1])), default=None)

    def _outermost(self, weighted: Sequence[tuple[int, str, str]]) -> tuple[int, str, str] | None:
        """Of parts with weights and parts of their own the outermost, of several the last."""
        parts = [one for one in weighted if _has_parts(self.modules[one[2]])]
        return min(parts, key=lambda one: (one[1].count("."), -one[0], len(one[1])), default=None)

    def outside(
        self, units: Sequence[str], values: Sequence[Value], first: int, last: int, end: int
    ) -> Iterator[tuple[int, str]]:
        """What is visited beside units: a stem before the first, pools up to the last, and what follows the end."""
        stems = [self.telling(run, values, outside=units) for run in _runs(values[:first])]
        yield from [stem for stem in stems if stem][-1:]
        after = [run for run in _runs(values, end) if values[run[0]].step != values[end].step]
        pools = [self.telling([at], values, outside=units, pools=True) for at in range(first + 1, last)]
        yield from (one for one in (*(self.telling(run, values, outside=units) for run in after), *pools) if one)

    def _is_pool(self, part: str) -> bool:
        """Whether a part may make maps smaller: without weights, and of no kind that only moves numbers."""
        module = self.modules[part]
        moves = isinstance(module, (nn.Identity, nn.Flatten, nn.Unflatten)) or type(module).__module__ in _SIDE
        return not self.weights[part] and not moves

    def _stands_alone(self, part: str, held: set[str], outside: Sequence[str]) -> bool:
        """Whether a part lies in none of the units ``outside``, nor in another one than lists and what holds units."""
        around = [above for above in _above(part) if outside and above not in held]
        return all(above not in outside and isinstance(self.modules[above], _LISTS) for above in around)


def _above(path: str) -> list[str]:
    """The parts that a part lies in, without the whole."""
    names = path.split(".")
    return [".".join(names[:n]) for n in range(1, len(names))]


def _pools(values: Sequence[Value], at: int) -> bool:
    """Whether a value is smaller than the one before it, and nothing with weights was done between."""
    if at == 0 or values[at].depth != values[at - 1].depth:
        return False
    before, after = (math.prod(value.shape) for value in values[at - 1 : at + 1])
    return after < before


def _has_parts(module: nn.Module) -> bool:
    return next(module.children(), None) is not None
