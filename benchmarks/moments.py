"""The sums of all pairs of block cuts, for all closed-form families, against the two networks' bare forward passes.

python benchmarks/moments.py
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from side_by_side import head, ratios, side_by_side, table, write
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.engine.fit.closed import collect
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.stitchers import Affine
from modelstitch.zoo.nets import build

NET, BATCH = "resnet20", 128
# One pass in a process of its own, which tells its seconds of processor time and its peak memory in kilobytes.
ALONE = "import sys; sys.path.insert(0, {folder!r}); import moments; moments.alone({examples})"


def world(examples: int) -> tuple[ms.Network, ms.Network, ms.Data]:
    images = torch.rand(examples, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(examples) % 10
    parts = [TensorDataset(images[:n].clone(), labels[:n]) for n in (examples, 8, 8)]
    one, two = (ms.Network(build(NET, seed=s).eval(), images[:2], n) for s, n in ((0, "one"), (1, "two")))
    return one, two, ms.Data(*parts)


def sums(one: ms.Network, two: ms.Network, data: ms.Data, dtype: torch.dtype, positions: int | None = None) -> None:
    spec = FitSpec(batch_size=BATCH, positions=positions, sums=str(dtype).removeprefix("torch."))
    sweep = Sweep(NetworkSender(one), two, data, spec, torch.device("cpu"), 0)
    streams = [
        open_stream(
            (b, t),
            sweep.sender,
            two,
            b,
            t,
            family=Affine,
            options={},
            objective="match",
            init="closed",
            later=(),
            device=sweep.device,
        )
        for b in one.blocks
        for t in two.blocks
    ]
    collect(streams, sweep)


def alone(examples: int) -> None:
    one, two, data = world(examples)
    start = time.process_time()
    sums(one, two, data, torch.float64)
    print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=1024)
    chosen = parser.parse_args()
    one, two, data = world(chosen.examples)
    images = data.dataset("fit").tensors[0]

    def bare() -> None:
        with torch.no_grad():
            for part in images.split(BATCH):
                one.module(part)
                two.module(part)

    calls = {
        "bare": bare,
        "float32": lambda: sums(one, two, data, torch.float32),
        "float64": lambda: sums(one, two, data, torch.float64),
        "float64, 64 positions": lambda: sums(one, two, data, torch.float64, 64),
    }
    found = side_by_side(calls, chosen.rounds)
    less, more = (_alone(n) for n in (chosen.examples // 4, chosen.examples // 4 * 10))
    write(
        "benchmark-moments",
        "The sums of all pairs of block cuts, beside the bare forward passes",
        [
            f"Two ResNet-20s, {len(one.blocks)} x {len(two.blocks)} block cuts, {chosen.examples} examples in batches "
            f"of {BATCH}, {chosen.rounds} rounds; *bare* is both modules' own eager forward over the same examples. "
            "The sums serve every closed-form family; solving is not in them.",
            table(head("bare"), ratios(found, "bare")),
            f"Ten times the examples in processes of their own ({chosen.examples // 4} and ten times as many, "
            f"float64): {more[0] / less[0]:.1f} times the processor time, peak memory {less[1]:.0f} and {more[1]:.0f} "
            f"MB, of which the examples themselves take {chosen.examples // 4 * 9 * 12288 / 1e6:.0f} MB more.",
        ],
    )


def _alone(examples: int) -> tuple[float, float]:
    code = ALONE.format(folder=str(Path(__file__).parent), examples=examples)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split()[-2:])
    return seconds, kilobytes / 1e3


if __name__ == "__main__":
    main()
