"""What each of a part's quicker forms gains, and what tracing gains where a graph is not traced a second time.

    python benchmarks/passes.py [--rounds 10] [--nets zoo:resnet20]

Passes: all activations of a network's block cuts for one batch on one thread, with all rewrites of `network/passes.py`,
and without one or all of them; then each convolution's handed over as soon as it is there, and not kept, as layer-wise
CKA reads them. Tracing: a network made with `functional` as it stands, and with torch's own second trace.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from side_by_side import head, ratios, side_by_side, table, write
from torch import nn

import modelstitch as ms
from modelstitch.network import Network, passes
from modelstitch.network.trace import trace

NETS = {  # and how many samples
    "zoo:resnet20": 128,
    "torchvision:resnet18": 8,
    "timm:vit_tiny_patch16_224": 8,
}
CPU = torch.device("cpu")


def forms(network: Network, layers: Sequence[str], *, handed: bool = False) -> dict[str, nn.Module]:
    """The part with all rewrites, without one of them, and as it was traced.

    Args:
        handed: each activation is handed over, and not kept.
    """
    without = {
        "without norms scaled": patch.object(passes, "scale_norms", lambda graph: 0),
        "without in place": patch.object(passes, "write_in_place", lambda graph, readers=(): 0),
        "without channels last": patch.object(passes, "ChannelsLast", lambda part: part),
    }
    how: dict[str, Any] = {"take": lambda name, value: value.shape, "apart": True} if handed else {}
    found = {"all": passes.quick(network, layers, CPU, **how)}
    for name, left_out in without.items():
        with left_out:
            found[name] = passes.quick(network, layers, CPU, **how)
    return found if handed else found | {"none": network.taps(layers)}


def read(part: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        part(images)


def make(network: Network, second: bool) -> Any:
    rewritten = (lambda program: program.run_decompositions({})) if second else trace.functional
    with patch.object(trace, "functional", rewritten):
        return Network(network.module, network._example, network.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--nets", default=",".join(NETS))
    given = parser.parse_args()
    rounds = given.rounds
    torch.set_num_threads(1)
    said = []
    for spec in given.nets.split(","):
        n = NETS[spec]
        network = ms.load(spec, weights="random")
        images = torch.rand(n, *network.sample_shape)
        said.append(f"## {spec}, {n} images")
        convolutions = [name for name, part in network.module.named_modules() if isinstance(part, nn.Conv2d)]
        for what, layers, handed in (("Block cuts", network.blocks, False), ("Convolutions", convolutions, True)):
            parts = forms(network, layers, handed=handed)
            calls: dict[str, Callable[[], Any]] = {k: partial(read, p, images) for k, p in parts.items()}
            found = ratios(side_by_side(calls, rounds), "all")
            said += [f"{what}, {len(layers)}, {'handed over' if handed else 'kept'}:", table(head("all"), found)]
        calls = {"rewritten": partial(make, network, False), "traced again": partial(make, network, True)}
        said.append(table(head("rewritten"), ratios(side_by_side(calls, 2), "rewritten")))
    write("passes", "Quicker forms of a network's parts, and of its trace", said)


if __name__ == "__main__":
    main()
