"""What a whole sweep costs until it is as good as converged, against the paper's recipe, seam by seam.

    python benchmarks/sweep.py --bottom DIR --top DIR --data parquet:DIR --work DIR [--write docs/results/sweep.md]

Every piece (ours, the long runs, the recipe at each measured seam) is kept in --work as JSON; the same command again
measures what is missing. All figures are processor seconds of one thread, so that other work on the machine does not
stretch them, on a GPU (--device cuda) seconds of the clock, its work waited for; samples lie in memory, so that
decoding does not count; looks at the validation split are counted, on both sides, where the page says so.

converged   the validation error at which long runs settle, the lower of two starts: ours from the closed form, and
            norm-affine-norm from random, each with four times our default steps at the full rate; the mean over the
            last quarter, since the lowest of many looks would be chance.
ours        the shared sweep with the defaults: moments, closed form, whitened Adam; once more for each --other; and
            all of these with each stream closed where it crosses, as the recipe is stopped there.
paper       each seam alone: norm-affine-norm from random, Adam 1e-3, cosine over 120,000 steps, batch 128.
paper+      the same schedule from our closed form (a plain affine map).

The recipe's steps to the crossing are counted on kept bottom activations (the count is the same), from our closed form
at every seam, from random at --seams; another seam takes the count of the nearest one of these. Its seconds are that
count times the measured seconds of a whole step, bottom included. A seam is named after the top's block; under it lies
the bottom's block of the same shape that is nearest in depth.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sweep_page import CAP, LOOK, MARGIN, SCHEDULE, is_looked_at, page, settled
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import modelstitch as ms
from modelstitch.data.batch import Batch
from modelstitch.data.subsets import Images
from modelstitch.engine.fit import loop
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.objectives import Wanted, stages
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.fit.run import Run
from modelstitch.engine.senders import NetworkSender, open_quick
from modelstitch.engine.sweep import Stream, Sweep, open_stream
from modelstitch.network import OUTPUT
from modelstitch.stitchers import family_of
from modelstitch.support.memory import keep_heap
from modelstitch.zoo.donors import load_donor

RATE, BATCH = 1e-3, 128  # the paper's (Bansal et al. 2021, A.4, and the released code)
LONG = {"optimizer": "adam", "learning_rate": 1e-2, "adapt_rate": False, "start_samples": 5000}  # whatever defaults are


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    keep_heap()
    bench = Bench(options)
    named = {key: str(getattr(options, key)) for key in ("bottom", "top", "samples", "val", "device", "other", "steps")}
    bench.stamp(**named)
    long = {
        start: bench.piece(f"long-{start}", lambda start=start: bench.ours(4 * options.steps, start, **LONG))
        for start in ("closed", "random")
    }
    goal = {seam: min(settled(run["history"][seam]) for run in long.values()) + MARGIN for seam in bench.seams}
    most, repeats = {"steps": options.steps}, range(options.repeats)
    fits: dict[str, dict[str, Any]] = {"ours": {}, **{f"other{j}": fit for j, fit in enumerate(options.other)}}
    # The first run of each looks often, to see the crossing; the others are there for their seconds.
    runs = [
        [
            bench.piece(f"{name}-{i}", lambda i=i, f=most | fit: bench.ours(look=LOOK if i == 0 else f["steps"], **f))
            for i in repeats
        ]
        for name, fit in fits.items()
    ]
    # Then each stream is closed where it crosses, as the recipe is stopped.
    closing = [
        [
            bench.piece(f"{name}-closing-{i}", lambda f=most | fit: bench.ours(look=LOOK, goal=goal, **f))
            for i in repeats
        ]
        for name, fit in fits.items()
    ]
    steps = {seam: bench.piece(f"step-{seam}", lambda seam=seam: bench.step_seconds(seam)) for seam in bench.seams}
    halves = {
        seam: bench.piece(f"half-step-{seam}", lambda seam=seam: bench.step_seconds(seam, half=True))
        for seam in bench.seams
        if any(fit.get("precision") == "bfloat16" for fit in options.other)
    }
    recipe = {
        kind: {
            seam: bench.piece(f"{kind}-{seam}", lambda kind=kind, seam=seam: bench.recipe(seam, kind, goal[seam]))
            for seam in seams
        }
        for kind, seams in (("paper", options.seams.split(",")), ("paper+", bench.seams))
    }
    counted = bench.piece("operations", bench.operations)
    text = page(bench, options, long, runs, closing, goal, steps, halves, recipe, counted)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


class Bench:
    """The donors, the data in memory, and the pieces that are done."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.work: Path = options.work
        self.work.mkdir(parents=True, exist_ok=True)
        data = ms.load_data(options.data)
        parts = [("fit", options.samples), ("val", options.val), ("test", 256)]
        self.data = ms.Data(*(in_memory(data, split, limit) for split, limit in parts), n_classes=data.n_classes)
        example = next(iter(self.data.batches("val", 2))).inputs
        self.below = ms.Network(load_donor(options.bottom).module, example, "bottom")
        self.above = ms.Network(load_donor(options.top).module, example, "top")
        self.beneath = beneath(self.below, self.above)
        self.seams = list(self.beneath)
        self.device = torch.device(options.device)
        self.data = self.data.on(self.device)

    def stamp(self, **options: Any) -> None:
        """Refuse a folder of runs with other options, or from before a default changed."""
        path, now = self.work / "options", json.dumps({**options, "defaults": FitSpec().model_dump()}, sort_keys=True)
        if not path.is_file():
            path.write_text(now)
        if path.read_text() != now:
            raise SystemExit(
                f"{self.work} holds runs with other options:\n{path.read_text()}\n{now}\nTake another --work."
            )

    def clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.thread_time()

    def piece(self, name: str, make: Callable[[], Any]) -> Any:
        path = self.work / f"{name}.json"
        if not path.is_file():
            started = time.monotonic()
            value = make()
            path.write_text(json.dumps(value))
            print(f"{name}: measured in {time.monotonic() - started:.0f} s", flush=True)
        return json.loads(path.read_text())

    def ours(
        self, steps: int, start: str = "closed", look: int = 40, goal: dict[str, float] | None = None, **fit: Any
    ) -> dict[str, Any]:
        """One shared sweep: validation error by step for every seam, and the seconds of its parts.

        A stream that has reached its ``goal`` is closed.
        """
        family = "affine" if start == "closed" else "norm-affine-norm"
        whole = {"stop_early": False, "look": self.data.size("val"), **fit}  # looks are there to see the crossing
        spec = FitSpec(steps=steps, eval_every=look, patience=10**6, augment=False, **whole)
        sweep = Sweep(NetworkSender(self.below), self.above, self.data, spec, self.device)
        streams = [self.stream(sweep, seam, family, "closed" if start == "closed" else "random") for seam in self.seams]
        begun = self.clock()
        collect(streams, sweep)
        summed = self.clock()
        solve(streams, sweep)
        solved = self.clock()
        looking = uncounted(loop, self.clock, goal or {})
        try:
            loop.train(streams, sweep)
        finally:
            looking.restore()
        ended = self.clock()
        return {
            "moments": summed - begun,
            "solve": solved - summed,
            "steps": ended - solved - looking.seconds,
            "looks": looking.seconds,
            "of": steps,
            "history": {s.top_layer: [(step, error) for step, error, _ in s.history] for s in streams},
        }

    def stream(self, sweep: Sweep, seam: str, family: str, init: str) -> Stream:
        cls, options = family_of(family)
        return open_stream(
            seam,
            sweep.sender,
            self.above,
            self.beneath[seam],
            seam,
            family=cls,
            options=options,
            objective="task",
            init=init,
            later=(),
            device=sweep.device,
        )

    def recipe(self, seam: str, kind: str, goal: float) -> dict[str, Any]:
        """The validation error of the paper's recipe at one seam by step, as far as ``goal`` or the cap."""
        spec = FitSpec(augment=False)
        sweep = Sweep(NetworkSender(self.below), self.above, self.data, spec, self.device)
        stream = self.stream(
            sweep, seam, "norm-affine-norm" if kind == "paper" else "affine", "random" if kind == "paper" else "closed"
        )
        collect([stream], sweep)
        solve([stream], sweep)
        assert stream.stitcher is not None
        stitcher, top = stream.stitcher, self.above.top(seam).to(self.device)
        fit, val = (self.kept(split, seam) for split in ("fit", "val"))
        optimiser, schedule = adam(stitcher)
        generator, history, step = torch.Generator().manual_seed(0), [], 0
        while step < CAP:
            for at in torch.randperm(len(fit[0]), generator=generator).split(BATCH):
                if is_looked_at(step):
                    history.append((step, error(stitcher, top, *val)))
                    if history[-1][1] <= goal:
                        return {"history": history}
                update(stitcher, top, fit[0][at], fit[1][at], optimiser, schedule)
                step += 1
        return {"history": history}

    @torch.no_grad()
    def kept(self, split: Any, seam: str) -> tuple[Tensor, Tensor]:
        bottom, batches = self.below.bottom(self.beneath[seam]).to(self.device), list(self.data.batches(split, 256))
        labels = torch.cat([b.labels for b in batches]).to(self.device)
        return torch.cat([bottom(b.inputs) for b in batches]), labels

    def step_seconds(self, seam: str, *, half: bool = False) -> dict[str, float]:
        """Processor seconds of the two parts of one step of the recipe, and of a look at kept activations.

        ``half``: steps are taken under autocast to bfloat16.
        """
        parts = self.below.bottom(self.beneath[seam]), self.above.top(seam)
        bottom, top = (part.to(self.device) for part in parts)
        layer = self.above.layer(seam)
        cls, _ = family_of("norm-affine-norm")
        stitcher = cls.random(ms.stitchers.Site(layer.channels, layer.channels, layer.kind), torch.Generator()).to(
            self.device
        )
        optimiser, schedule = adam(stitcher)
        found: dict[str, list[float]] = {"bottom": [], "tail": []}
        for batch in list(self.data.batches("fit", BATCH, limit=8 * BATCH)):
            started = self.clock()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                with torch.no_grad():
                    below = bottom(batch.inputs)
                middle = self.clock()
                update(stitcher, top, below, batch.labels.to(self.device), optimiser, schedule)
            found["bottom"].append(middle - started)
            found["tail"].append(self.clock() - middle)
        val = self.kept("val", seam)
        started = self.clock()
        error(stitcher, top, *val)
        return {name: statistics.median(values[1:]) for name, values in found.items()} | {
            "look": self.clock() - started
        }

    def operations(self) -> dict[str, float]:
        """One shared step beside the bare passes that it must do: one bottom forward, each tail forward and backward.

        Multiplications and additions as torch counts them, and seconds, turn by turn, in the sweep's own layout.
        """
        spec = FitSpec(augment=False)
        sweep = Sweep(NetworkSender(self.below), self.above, self.data, spec, self.device)
        streams = [self.stream(sweep, seam, "affine", "closed") for seam in self.seams]
        collect(streams, sweep)
        solve(streams, sweep)
        runs = [Run(s, stages("task", self.above, s.top_layer, spec)[0], sweep) for s in streams]
        layers = list(dict.fromkeys(self.beneath.values()))
        send = open_quick(sweep.sender, layers, sweep.device)
        last = open_quick(sweep.sender, layers[-1:], sweep.device)

        def ours(batch: Batch) -> None:
            below = send(batch)
            for run in runs:
                run.step(
                    below[run.stream.bottom_layer],
                    batch.inputs,
                    None,
                    Wanted({}, batch.labels.to(self.device), None),
                    1,
                )

        def bare(batch: Batch) -> None:
            last(batch)
            for stream in streams:
                x = given[stream.bottom_layer].detach().requires_grad_(True)
                F.cross_entropy(stream.tail(x)[OUTPUT], batch.labels.to(self.device)).backward()

        batches = list(self.data.batches("fit", BATCH, limit=8 * BATCH))
        given = send(batches[0])
        found: dict[str, float] = {}
        for name, call in (("ours", ours), ("bare", bare)):
            recordable = [run._recordable for run in runs]
            for run in runs:
                run._recordable = False  # what is replayed is not seen by the counter
            with FlopCounterMode(display=False) as counter:
                call(batches[0])
            for run, able in zip(runs, recordable):
                run._recordable = able
            found[f"{name} operations"] = counter.get_total_flops()
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        ours(batches[0])
        for batch in batches[1:]:
            for name, call in (("ours", ours), ("bare", bare)):
                started = self.clock()
                call(batch)
                seconds[name].append(self.clock() - started)
        return found | {f"{name} seconds": statistics.median(values) for name, values in seconds.items()}


class uncounted:
    """Seconds spent in looks at the validation split while fitting; what has reached its goal is closed there."""

    def __init__(self, module: Any, clock: Callable[[], float], goal: dict[str, float]) -> None:
        self.module, self.look, self.seconds, self.clock, self.goal = module, module._look, 0.0, clock, goal
        module._look = self

    def __call__(self, runs: list[Run], *args: Any) -> None:
        started = self.clock()
        self.look(runs, *args)
        for run in runs:
            if run.stream.history[-1][1] <= self.goal.get(run.stream.top_layer, -1):
                run.open = False
        self.seconds += self.clock() - started

    def restore(self) -> None:
        self.module._look = self.look


def beneath(below: ms.Network, above: ms.Network) -> dict[str, str]:
    """{block of the top: block of the bottom of the same shape that is nearest in depth}."""
    found = {}
    for name in above.blocks:
        layer = above.layer(name)
        alike = [other for other in map(below.layer, below.blocks) if other.shape == layer.shape]
        if not alike:
            raise SystemExit(
                f"No block of the bottom has the shape {layer.shape} of the top's {name}: take networks of one family."
            )
        found[name] = min(alike, key=lambda other: abs(other.depth - layer.depth)).name
    return found


def adam(stitcher: nn.Module) -> tuple[torch.optim.Optimizer, Any]:
    optimiser = torch.optim.Adam(stitcher.parameters(), lr=RATE)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: 0.5 * (1 + math.cos(math.pi * at / SCHEDULE))
    )


def update(stitcher: nn.Module, top: nn.Module, x: Tensor, y: Tensor, optimiser: Any, schedule: Any) -> None:
    stitcher.train()
    optimiser.zero_grad(set_to_none=True)
    F.cross_entropy(top(stitcher(x)), y).backward()
    optimiser.step()
    schedule.step()


@torch.no_grad()
def error(stitcher: nn.Module, top: nn.Module, x: Tensor, y: Tensor) -> float:
    stitcher.eval()
    wrong = sum(int((top(stitcher(a)).argmax(1) != b).sum()) for a, b in zip(x.split(256), y.split(256)))
    return 100 * wrong / len(y)


def in_memory(data: Any, split: Any, limit: int) -> Images:
    batches = list(data.batches(split, 500, seed=0, limit=limit))
    return Images(torch.cat([b.inputs for b in batches]), torch.cat([b.labels for b in batches]))


def fit_options(text: str) -> dict[str, Any]:
    """``name=value,name=value`` as FitSpec takes them."""
    pairs = dict(part.split("=") for part in text.split(","))
    return {name: value if name == "precision" else json.loads(value) for name, value in pairs.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bottom", type=Path, required=True)
    parser.add_argument("--top", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--val", type=int, default=2000)
    parser.add_argument("--seams", default="block4,block6")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=FitSpec().steps, help="of ours; long runs take four times as many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--other",
        type=fit_options,
        action="append",
        default=[],
        help="fit options of one more sweep: adapt_rate=false,precision=bfloat16; may be repeated",
    )
    parser.add_argument("--note", default="", help="what a reader must know of the donors or the choices, a sentence")
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
