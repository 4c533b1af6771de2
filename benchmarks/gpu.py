"""What training and stitching cost on a GPU, and what recording their steps as CUDA graphs saves.

    python benchmarks/gpu.py steps                          # training steps, plain and recorded; made-up images
    python benchmarks/gpu.py untrained                      # every cut of two untrained ResNet-18s, plain and recorded
    python benchmarks/gpu.py donors --data parquet:DIR      # a ResNet-18 of the full scale: run it in two shells
    python benchmarks/gpu.py pair --data parquet:DIR        # every cut of that pair, both directions

Donors are kept in --out, one for each --seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import modelstitch as ms
from modelstitch.data.batch import CropFlip
from modelstitch.data.subsets import Images
from modelstitch.engine.fit.run import Run
from modelstitch.paper.data import load
from modelstitch.paper.figure import Model
from modelstitch.paper.job import open_job
from modelstitch.paper.scales import FULL
from modelstitch.zoo import train
from modelstitch.zoo.nets import build

NETS = ("preact-resnet18?width=64&classes=10", "resnet20?width=16&classes=10")
DEEP = "resnet164"
WARM = 50  # steps that are not timed


def steps(options: argparse.Namespace) -> None:
    """Milliseconds of a training step, bfloat16, augmentation included.

    With cudnn's own search for kernels and without.
    """
    data = made_up(options.samples)
    for net in NETS:
        for recorded in (False, True):
            for searched in (False, True):
                with recording(recorded), torch.backends.cudnn.flags(enabled=True, benchmark=searched):
                    taken = step(net, data, options)
                print(f"{net}, recorded {recorded}, searched {searched}: {taken:.2f} ms a step", flush=True)
    print(f"{NETS[0]}, batch 512: {step(NETS[0], data, options, 512):.2f} ms a step", flush=True)
    print(f"{DEEP}, recorded: {step(DEEP, data, options):.2f} ms a step", flush=True)


def step(net: str, data: ms.Data, options: argparse.Namespace, batch_size: int = 128) -> float:
    marks: dict[int, float] = {}

    def heard(done: int, loss: float) -> None:
        if done in (WARM, options.steps):
            wait(options.device)
            marks[done] = time.perf_counter()

    recipe = train.Recipe(steps=options.steps, batch_size=batch_size, precision="bfloat16", channels_last=True)
    train.train(build(net, seed=0), data, recipe, device=options.device, progress=heard)
    return 1e3 * (marks[options.steps] - marks[WARM]) / (options.steps - WARM)


def donors(options: argparse.Namespace) -> None:
    """One donor of the full scale: its seconds and its errors."""
    job = open_job(FULL, load(options.data, FULL), options.out, device=options.device)
    card = job.workshop.donor(Model(seed=options.seed)).card
    print(
        f"seed {options.seed}: {card['seconds']} s, validation {card['val_error']:.2f} %, test "
        f"{card['test_error']:.2f} %"
    )


def untrained(options: argparse.Namespace) -> None:
    """Seconds of ``compare`` without controls on two untrained ResNet-18s, bfloat16, plain and recorded."""
    data = made_up(options.samples)
    example = next(data.batches("val", 2)).inputs
    nets = [ms.Network(build(NETS[0], seed=seed).eval(), example, f"seed {seed}") for seed in (0, 2)]
    for recorded in (False, True, False, True):
        with recording(recorded):
            compared(*nets, data, options, f"recorded {recorded}", precision="bfloat16", patience=1000)


def pair(options: argparse.Namespace) -> None:
    """Seconds of ``compare`` without controls on the two donors, and the penalty at every cut."""
    job = open_job(FULL, load(options.data, FULL), options.out, device=options.device)
    one, two = (job.workshop.network(Model(seed=seed)) for seed in (0, 1))
    for record in compared(one, two, job.data, options, "donors").records:
        values = {m["metric"]: m["value"] for m in record["metrics"]}
        print(record["config"]["top"]["name"], record["config"]["top"]["layer"], f"{values['penalty']:+.2f}")


def compared(
    one: ms.Network, two: ms.Network, data: ms.Data, options: argparse.Namespace, what: str, **fit: Any
) -> ms.Results:
    wait(options.device)
    started = time.perf_counter()
    found = ms.compare(one, two, data, controls=(), device=options.device, **fit)
    wait(options.device)
    print(f"{what}: {len(found.records)} stitches in {time.perf_counter() - started:.1f} s", flush=True)
    return found


@contextmanager
def recording(wanted: bool) -> Iterator[None]:
    """With or without recorded steps."""
    able, begin = train._recordable, Run.__init__

    def plain(self: Run, *args: object) -> None:
        begin(self, *args)  # type: ignore[arg-type]
        self._recordable = False

    if not wanted:
        train._recordable, Run.__init__ = (lambda batch: False), plain  # type: ignore[assignment]
    try:
        yield
    finally:
        train._recordable, Run.__init__ = able, begin  # type: ignore[method-assign]


def made_up(n: int) -> ms.Data:
    """Images of noise under one brightness for each class."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        labels = torch.randint(0, 10, (count,), generator=generator)
        noise = torch.randint(0, 128, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return Images(noise + (12 * labels).to(torch.uint8)[:, None, None, None], labels)

    return ms.Data(images(n), images(n // 9), images(n // 9), n_classes=10, augment=CropFlip(4, flip=True))


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["steps", "untrained", "donors", "pair"])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--samples", type=int, default=45_000, help="made-up images")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.device == "cuda":
        print(torch.cuda.get_device_name(), torch.__version__)
    {"steps": steps, "untrained": untrained, "donors": donors, "pair": pair}[options.part](options)


if __name__ == "__main__":
    main()
