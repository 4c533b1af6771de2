"""A family of networks held against each other, beside their bare forwards and tails, and beside pair by pair.

python benchmarks/family.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import combinations
from typing import Any
from unittest.mock import patch

import torch
from side_by_side import Times, head, ratios, side_by_side, table, write
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.layerwise import plan_similarity
from modelstitch.study.sweeps import fitted
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
    parser.add_argument("--examples", type=int, default=256, help="of a similarity, and to solve maps from")
    parser.add_argument("--test", type=int, default=128, help="examples to measure stitches on")
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
    tested, off = Stitches(networks, images[: chosen.examples], images[: chosen.test], layers).timed(
        chosen.rounds, some[:2]
    )
    write(
        "family",
        "A family of networks in one pass",
        [
            "## Similarities",
            f"{chosen.networks} ResNet-20s of {chosen.width} filters, {len(layers)} layers each ({', '.join(layers)}), "
            f"{chosen.examples} examples of 32 x 32, one thread, {chosen.rounds} rounds. *Bare* is every module's own "
            f"eager forward over the same batches. The measures are {', '.join(MEASURES)}. Stated before it starts: "
            f"*{plan.describe()}*."
            + (" Freed memory is kept by the process (`memory.keep_heap`), as on the command line." if kept else ""),
            table(head("bare forwards"), ratios(times, "bare forwards")),
            f"The time of all {len(pairs)} pairs is that of {len(some)} of them, times {len(pairs) / len(some):.3g}.",
            "Largest difference of a value from that of its pair by itself, over these pairs: "
            f"{worst(together(0), apart()):.1e}.",
            "## Closed forms of all ordered pairs",
            "`compare([...])` of the same networks, each into each at these layers, affine maps in closed form: solved "
            f"from {chosen.examples} examples, measured on {chosen.test}. The sums stand beside every module's own "
            "eager forward over the examples that they are made of.",
            table(head(FORWARDS), ratios({name: tested[name] for name in (FORWARDS, SUMS)}, FORWARDS)),
            "The measurement, from solved maps to records (outcome of every sample, distances to genuine activations, "
            "intervals), stands beside one forward of each network and, for each stitch, a convolution of width 1 and "
            f"the rest of the top, one after the other; of these the {len(networks)} pairs of neighbours in a ring are "
            f"timed, times {len(networks) - 1}.",
            table(head(TAILS), ratios({name: tested[name] for name in (TAILS, MEASURED)}, TAILS)),
            f"Largest difference of a penalty from that of its pair by itself: {off:.1e} points.",
        ],
    )


def worst(whole: ms.Results, parts: list[ms.Results]) -> float:
    """How far a value of the family is from the value of its pair measured by itself."""
    names = ("measure", "bottom", "bottom_layer", "top", "top_layer")
    found = {tuple(row[name] for name in names): row["value"] for row in whole.similarities}
    return max(abs(found[tuple(r[n] for n in names)] - r["value"]) for part in parts for r in part.similarities)


FORWARDS, SUMS = "bare forwards", "sums of all closed forms"
TAILS, MEASURED = "bare forwards and tails", "penalties of all ordered pairs"


class Stitches:
    """Closed forms of all ordered pairs of a family, timed by their parts, beside what they cannot do without."""

    def __init__(self, networks: list[ms.Network], fit: torch.Tensor, test: torch.Tensor, layers: list[str]) -> None:
        def labelled(images: torch.Tensor) -> TensorDataset:
            return TensorDataset(images, torch.arange(len(images)) % 10)

        self.networks, self.layers, self.fit, self.test = networks, layers, fit, test
        self.data = ms.Data(labelled(fit), labelled(fit[:8]), labelled(test))
        self.taps = [network.taps(layers, output=True) for network in networks]
        self.tails = [[network.top(layer) for layer in layers] for network in networks]
        widths = [networks[0].layer(layer).channels for layer in layers]
        self.maps = [nn.Conv2d(width, width, 1).requires_grad_(False) for width in widths]

    def compared(self, networks: list[ms.Network]) -> ms.Results:
        """What a user calls."""
        return ms.compare(networks, data=self.data, layers=self.layers, objective="match", controls=[], pairs="all")

    def bare_forwards(self) -> None:
        """Every network over what maps are solved from."""
        with torch.no_grad():
            for part in self.fit.split(BATCH):
                for network in self.networks:
                    network.module(part)

    def kept(self) -> list[dict[str, torch.Tensor]]:
        """Every network over what stitches are measured on."""
        with torch.no_grad():
            return [taps(self.test) for taps in self.taps]

    def bare_tails(self, kept: list[dict[str, torch.Tensor]]) -> None:
        """Every stitch of each network into the next one."""
        with torch.no_grad():
            for at, values in enumerate(kept):
                for layer, one, tail in zip(self.layers, self.maps, self.tails[(at + 1) % len(kept)]):
                    tail(one(values[layer]))

    def timed(self, rounds: int, some: list[tuple[ms.Network, ms.Network]]) -> tuple[dict[str, Times], float]:
        """Seconds of every round, and how far penalties are from those of some pairs by themselves."""
        found = {name: Times([], []) for name in (FORWARDS, SUMS, TAILS, MEASURED)}
        times = len(self.networks) - 1
        self.bare_tails(self.kept())  # to warm up
        whole = None
        for _ in range(rounds):
            with _clocked(found[FORWARDS]):
                self.bare_forwards()
            first, others = Times([], []), Times([], [])
            with _clocked(first):
                kept = self.kept()
            with _clocked(others):
                self.bare_tails(kept)
            for kind in ("clock", "processor"):
                getattr(found[TAILS], kind).append(getattr(first, kind)[0] + times * getattr(others, kind)[0])
            with ExitStack() as stack:
                for name, part in ((SUMS, "_summed"), (MEASURED, "measure")):
                    stack.enter_context(patch.object(fitted, part, _within(found[name], getattr(fitted, part))))
                whole = self.compared(self.networks)
        assert whole is not None
        known = _penalties(whole)
        alone = [_penalties(self.compared(list(pair))) for pair in some]
        return found, max(abs(known[at] - value) for each in alone for at, value in each.items())


class _clocked:
    """A block whose seconds are added to ``times``."""

    def __init__(self, times: Times) -> None:
        self.times = times

    def __enter__(self) -> None:
        self.clock, self.processor = time.perf_counter(), time.process_time()

    def __exit__(self, *error: object) -> None:
        self.times.processor.append(time.process_time() - self.processor)
        self.times.clock.append(time.perf_counter() - self.clock)


def _within(times: Times, call: Callable[..., Any]) -> Callable[..., Any]:
    """A call whose seconds are added to ``times``."""

    def timed(*args: Any, **more: Any) -> Any:
        with _clocked(times):
            return call(*args, **more)

    return timed


def _penalties(found: ms.Results) -> dict[tuple[str, ...], float]:
    names = ("bottom", "bottom_layer", "top", "top_layer")
    rows = found.frame.filter(metric="penalty").iter_rows(named=True)
    return {tuple(row[name] for name in names): row["value"] for row in rows}


if __name__ == "__main__":
    main()
