"""Which parts of a module are its blocks, and which of them have an exact cut."""

from __future__ import annotations

import re
from collections import defaultdict

from torch import nn

from modelstitch.network import Network


def blocks_of(module: nn.Module) -> list[str]:
    """The names of the innermost repeated parts that hold at least two layers with weights.

    Repeated: siblings of one class whose names differ in a number only, or everything in a list of modules of one
    class.
    """
    found: list[str] = []
    for path, parent in module.named_modules():
        groups: dict[tuple[str, type], list[str]] = defaultdict(list)
        for name, child in parent.named_children():
            groups[re.sub(r"\d+", "#", name), type(child)].append(name)
        listed = isinstance(parent, (nn.Sequential, nn.ModuleList)) and len(groups) == 1
        for names in groups.values():
            big = [name for name in names if _weighted(parent.get_submodule(name)) >= 2]
            if len(big) >= 2 or (big and listed):
                found += [f"{path}.{name}".lstrip(".") for name in big]
    return [name for name in found if not any(other.startswith(name + ".") for other in found)]


def _weighted(module: nn.Module) -> int:
    """How many modules in it hold a matrix or a kernel of their own."""
    return sum(any(p.ndim >= 2 for p in part.parameters(recurse=False)) for part in module.modules())


def blocks_cut(net: Network) -> tuple[int, list[str], str]:
    """How many blocks ran, those without an exact cut at their end or inside, and why the first of them has none."""
    ran = [block for block in blocks_of(net.module) if block in net._alias or block in net.layers]
    ends = {block: net.layers[net._alias.get(block, block)] for block in ran}
    whole = [b for b in ran if not ends[b].exact and not any(cut.startswith(b + ".") for cut in net.cuts)]
    return len(ran), whole, f"{whole[0]}: {ends[whole[0]].why}" if whole else ""
