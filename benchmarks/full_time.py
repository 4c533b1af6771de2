"""What a scale of the paper's figures asks for, counted, and what it would take at measured rates: an estimate, nothing is run.

    python benchmarks/full_time.py --data parquet:DIR    # the full scale, CIFAR-10, on one H200: docs/results/gpu.md

Networks are untrained stand-ins, each with weights of its own, so that the plans are those of a real run: cells that figures share
count once.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from modelstitch.data.load import load_data
from modelstitch.paper import run as running
from modelstitch.paper.catalogue import FIGURES, OWN_CHECKPOINTS, figure
from modelstitch.paper.donors import Workshop
from modelstitch.paper.figure import Model, turned
from modelstitch.paper.job import Job, open_job
from modelstitch.paper.probes.finetune import shortened
from modelstitch.paper.protocols import PROTOCOLS
from modelstitch.paper.scales import scale
from modelstitch.study.plan import plan
from modelstitch.study.run import data_config, describe_donor
from modelstitch.zoo.donors import Donor
from modelstitch.zoo.nets import build, format_net, parse_net
from modelstitch.zoo.selfsup import SelfRecipe

# Milliseconds of a training step of 128 samples: docs/results/gpu.md. The others by their operations, relative to "base".
MEASURED = {"base": 41_000 / 12_000, "deep": 17.8}
UNLABELLED = 2 * 9.4  # two views of 512 samples
STITCH = 2.6 / 400  # seconds a step of one stitch, looks and measuring included, beside two other processes
SETS = {"fine-tune": lambda options: 3, "freeze": lambda options: len(options["sets"])}  # trainings of a probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="full")
    parser.add_argument("--data", required=True, help="what the scale is run on")
    options = parser.parse_args()
    Workshop._make = stand_in  # type: ignore[method-assign]
    size = scale(options.scale)
    trained: dict[Model, float] = {}
    stitched: dict[str, set[str]] = {name: set() for name in PROTOCOLS}
    probes: Counter[str] = Counter()
    probing: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        job = open_job(size, load_data(options.data), Path(folder), device="cpu")
        cells: set[str] = set()
        running.run = lambda networks, pairs, data, axes, **_: counted(networks, pairs, data, axes, cells)  # type: ignore
        for name in FIGURES:
            if name in OWN_CHECKPOINTS:
                continue
            shown = figure(name)
            for repeat in range(size.repeats):
                for line in shown.lines:
                    pair = turned((line.bottom, line.top), repeat, size.repeats)
                    for model in pair:
                        trained[whole(model)] = training(model, job)
                    for protocol in line.protocols:
                        cells.clear()
                        running._stitched(line, *pair, PROTOCOLS[protocol], job)
                        stitched[protocol] |= cells
                for probe in shown.probes:
                    models = turned(probe.models, repeat, size.repeats)
                    for model in models:
                        trained[whole(model)] = training(model, job)
                    key = f"{probe.kind} {[m.name for m in models]} {probe.options}"
                    if key not in probing and probe.kind in SETS:
                        recipe = shortened(job, models[0], float(probe.options.get("time", 1.0)))
                        each = recipe.steps * step(models[0], job) / 1e3
                        probing[key] = SETS[probe.kind](probe.options) * each
                        probes[probe.kind] += SETS[probe.kind](probe.options)
    for method in dict.fromkeys(m.method for m in trained):
        some = [s for m, s in trained.items() if m.method == method]
        print(f"{len(some)} networks trained, {method}: {hours(sum(some))}")
    for kind, number in probes.items():
        print(f"{number} trainings of {kind}: {hours(sum(s for k, s in probing.items() if k.startswith(kind)))}")
    for name, found in stitched.items():
        steps = size.fit[name]["steps"]
        print(f"{len(found)} stitches of {steps} steps, {name} protocol: {hours(len(found) * steps * STITCH)}")


def stand_in(self: Workshop, model: Model) -> Donor:
    net = fitting(model.net, self)
    module = build(net, seed=model.seed)
    with torch.no_grad():
        next(module.parameters()).flatten()[0] = zlib.crc32(model.name.encode()) % 2**20
    return Donor(model.name, module.eval(), {"net": net, "identity": model.name})


def fitting(role: str, workshop: Workshop) -> str:
    """The network of a role, for the data."""
    name, options = parse_net(workshop.scale.net(role))
    channels = workshop.example.shape[1]
    return format_net(name, {"classes": workshop.data.n_classes, "in_channels": channels, **options})


def counted(networks: Any, pairs: Any, data: Any, axes: Any, cells: set[str]) -> list[Any]:
    donors = {network.name: describe_donor(network) for network in networks}
    cells |= {c.hash for c in plan([(donors[b], donors[t]) for b, t in pairs], axes, data_config(data))}
    return []


def whole(model: Model) -> Model:
    """The run that a network is of."""
    return dataclasses.replace(model, change="", at=None)


def training(model: Model, job: Job) -> float:
    """Seconds of the run."""
    recipe = job.workshop.recipe(whole(model))
    if isinstance(recipe, SelfRecipe):
        return recipe.base.steps * UNLABELLED / 1e3
    return recipe.steps * step(model, job) / 1e3


def step(model: Model, job: Job) -> float:
    """Milliseconds of a step with labels."""
    if model.net in MEASURED:
        return MEASURED[model.net]
    return MEASURED["base"] * operations(model.net, job) / operations("base", job)


def operations(role: str, job: Job) -> float:
    """Multiplications of one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(fitting(role, job.workshop)).eval()(job.workshop.example)
    return float(counter.get_total_flops())


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    main()
