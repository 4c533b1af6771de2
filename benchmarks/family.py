"""A family of networks held against each other in one pass, beside their bare forwards and beside pair by pair.

python benchmarks/family.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from side_by_side import head, ratios, side_by_side, table, write
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.layerwise import plan_similarity
from modelstitch.support.memory import keep_heap
from modelstitch.zoo.nets import build

MEASURES = ["cka_linear_debiased", "cca", "procrustes", "r2"]
BATCH = 128


def family(size: int, examples: int, width: int) -> tuple[list[ms.Network], ms.Data, torch.Tensor]:
    """Networks with the running statistics of these images, and the images as data."""
    images = torch.randn(examples, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    networks = []
    for seed in range(size):
        module = build(f"resnet20?width={width}", seed=seed).train()
        with torch.no_grad():
            for _ in range(3):
                module(images[:BATCH])
        networks.append(ms.Network(module.eval(), images[:2], f"seed{seed}"))
    labels = torch.arange(examples) % 10
    few = images[:4].clone(), labels[:4]
    return networks, ms.Data(TensorDataset(*few), TensorDataset(images, labels), TensorDataset(*few)), images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--examples", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--width", type=int, default=16, help="filters of the first stage")
    parser.add_argument("--shuffles", type=int, default=0, help="measure null levels of so many, too")
    parser.add_argument(
        "--apart", type=int, default=6, help="pairs that are measured by themselves, for the time of all"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    kept = keep_heap()  # as the command line does
    networks, data, images = family(chosen.networks, chosen.examples, chosen.width)
    blocks = networks[0].blocks
    layers = blocks[1 :: max(1, len(blocks) // chosen.layers)][: chosen.layers]
    asked: dict[str, Any] = {"data": data, "measures": MEASURES, "batch_size": BATCH}

    def bare() -> None:
        with torch.no_grad():
            for part in images.split(BATCH):
                for network in networks:
                    network.module(part)

    def together(shuffles: int) -> ms.Results:
        return ms.similarity(networks, **asked, layers=layers, shuffles=shuffles)

    pairs = list(combinations(networks, 2))
    some = pairs[:: max(1, len(pairs) // chosen.apart)][: chosen.apart]

    def apart() -> list[ms.Results]:
        return [ms.similarity(*pair, **asked, layers=(layers, layers), shuffles=0) for pair in some]

    calls: dict[str, Callable[[], Any]] = {"bare forwards": bare, "similarity of the family": lambda: together(0)}
    if chosen.shuffles:
        calls[f"with {chosen.shuffles} shuffles for null levels"] = lambda: together(chosen.shuffles)
    calls["pair by pair"] = apart
    times = side_by_side(calls, chosen.rounds)
    for kind in (times["pair by pair"].clock, times["pair by pair"].processor):
        kind[:] = [seconds * len(pairs) / len(some) for seconds in kind]
    plan = plan_similarity(networks, data=data, measures=MEASURES, layers=layers, shuffles=0)
    write(
        "family",
        "A family of networks in one pass",
        [
            f"{chosen.networks} ResNet-20s of {chosen.width} filters, {len(layers)} layers each ({', '.join(layers)}), "
            f"{chosen.examples} examples of 32 x 32, one thread, {chosen.rounds} rounds. *Bare* is every module's own "
            f"eager forward over the same batches. The measures are {', '.join(MEASURES)}. Stated before it starts: "
            f"*{plan.describe()}*."
            + (" Freed memory is kept by the process (`memory.keep_heap`), as on the command line." if kept else ""),
            table(head("bare forwards"), ratios(times, "bare forwards")),
            f"The time of all {len(pairs)} pairs is that of {len(some)} of them, times {len(pairs) / len(some):.3g}.",
            "Largest difference of a value from that of its pair by itself, over these pairs: "
            f"{worst(together(0), apart()):.1e}.",
        ],
    )


def worst(whole: ms.Results, parts: list[ms.Results]) -> float:
    """How far a value of the family is from the value of its pair measured by itself."""
    names = ("measure", "bottom", "bottom_layer", "top", "top_layer")
    found = {tuple(row[name] for name in names): row["value"] for row in whole.similarities}
    return max(abs(found[tuple(r[n] for n in names)] - r["value"]) for part in parts for r in part.similarities)


if __name__ == "__main__":
    main()
