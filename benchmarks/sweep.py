"""What a whole sweep costs until it is as good as converged, against the paper's recipe, seam by seam.

    python benchmarks/sweep.py --bottom DIR --top DIR --data parquet:DIR --work DIR [--write docs/results/sweep.md]

Every piece (ours, the long runs, the recipe at each measured seam) is kept in --work as JSON; the same command again
measures what is missing. All figures are processor seconds of one thread, so that other work on the machine does not
stretch them, on a GPU (--device cuda) seconds of the clock, its work waited for; samples lie in memory, so that decoding does not count; looks at the validation split are not counted.

converged   the validation error at which long runs settle, the lower of two starts: ours from the closed form, and
            norm-affine-norm from random, each with four times our default steps; the mean over the last quarter, since the
            lowest of many looks would be chance.
ours        the shared sweep with the defaults: moments, closed form, whitened Adam.
paper       each seam alone: norm-affine-norm from random, Adam 1e-3, cosine over 120,000 steps, batch 128.
paper+      the same schedule from our closed form (a plain affine map).

The recipe's steps to the crossing are counted at --seams, on kept bottom activations (the count is the same); its
seconds are that count times the measured seconds of a whole step, bottom included. Other seams take the median count.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import modelstitch as ms
from modelstitch.fit import loop
from modelstitch.fit.closed import collect, solve
from modelstitch.fit.objectives import Wanted, stages
from modelstitch.fit.options import FitSpec
from modelstitch.fit.run import Run
from modelstitch.fit.senders import NetworkSender, open_quick
from modelstitch.fit.streams import Stream, open_stream
from modelstitch.fit.sweep import Sweep
from modelstitch.memory import keep_heap
from modelstitch.network import OUTPUT
from modelstitch.sources.data import Batch
from modelstitch.sources.views import Images
from modelstitch.stitchers import family_of
from modelstitch.zoo.donors import load_donor

SCHEDULE, RATE, BATCH = 120_000, 1e-3, 128  # the paper's (Bansal et al. 2021, A.4, and the released code)
MARGIN = 0.5  # points
LOOK = 5  # steps between looks of ours
CAP = 6_000  # steps after which the recipe is no longer followed


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    keep_heap()
    bench = Bench(options)
    long = {
        start: bench.piece(f"long-{start}", lambda start=start: bench.ours(4 * FitSpec().steps, start))
        for start in ("closed", "random")
    }
    ours = [bench.piece(f"ours-{i}", lambda: bench.ours(FitSpec().steps, "closed")) for i in range(options.repeats)]
    goal = {seam: min(settled(run["history"][seam]) for run in long.values()) + MARGIN for seam in bench.seams}
    steps = {seam: bench.piece(f"step-{seam}", lambda seam=seam: bench.step_seconds(seam)) for seam in bench.seams}
    recipe = {
        kind: {
            seam: bench.piece(f"{kind}-{seam}", lambda kind=kind, seam=seam: bench.recipe(seam, kind, goal[seam]))
            for seam in options.seams.split(",")
        }
        for kind in ("paper", "paper+")
    }
    counted = bench.piece("operations", bench.operations)
    text = page(bench, options, long, ours, goal, steps, recipe, counted)
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
        self.seams = self.above.blocks
        self.device = torch.device(options.device)
        self.data = self.data.on(self.device)

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

    def ours(self, steps: int, start: str) -> dict[str, Any]:
        """One shared sweep: validation error by step for every seam, and the seconds of its parts."""
        family = "affine" if start == "closed" else "norm-affine-norm"
        spec = FitSpec(steps=steps, eval_every=LOOK if steps == FitSpec().steps else 40, patience=10**6, augment=False)
        sweep = Sweep(NetworkSender(self.below), self.above, self.data, spec, self.device)
        streams = [self.stream(sweep, seam, family, "closed" if start == "closed" else "random") for seam in self.seams]
        begun = self.clock()
        collect(streams, sweep)
        summed = self.clock()
        solve(streams, sweep)
        solved = self.clock()
        looking = uncounted(loop, self.clock)
        try:
            loop.train(streams, sweep)
        finally:
            looking.restore()
        ended = self.clock()
        return {
            "moments": summed - begun,
            "solve": solved - summed,
            "steps": ended - solved - looking.seconds,
            "of": steps,
            "history": {s.top_layer: [(step, error) for step, error, _ in s.history] for s in streams},
        }

    def stream(self, sweep: Sweep, seam: str, family: str, init: str) -> Stream:
        cls, options = family_of(family)
        return open_stream(
            seam, sweep.sender, self.above, seam, seam, family=cls, options=options, objective="task", init=init,
            later=(), device=sweep.device,
        )  # fmt: skip

    def recipe(self, seam: str, kind: str, goal: float) -> dict[str, Any]:
        """The validation error of the paper's recipe at one seam by step, as far as ``goal`` or the cap."""
        spec = FitSpec(augment=False)
        sweep = Sweep(NetworkSender(self.below), self.above, self.data, spec, self.device)
        stream = self.stream(sweep, seam, "norm-affine-norm" if kind == "paper" else "affine",
                             "random" if kind == "paper" else "closed")  # fmt: skip
        collect([stream], sweep)
        solve([stream], sweep)
        assert stream.stitcher is not None
        stitcher, top = stream.stitcher, self.above.top(seam).to(self.device)
        fit, val = (self.kept(split, seam) for split in ("fit", "val"))
        optimiser, schedule = adam(stitcher)
        generator, history, step = torch.Generator().manual_seed(0), [], 0
        while step < CAP:
            for at in torch.randperm(len(fit[0]), generator=generator).split(BATCH):
                if step % (20 if kind == "paper" else LOOK) == 0:
                    history.append((step, error(stitcher, top, *val)))
                    if history[-1][1] <= goal:
                        return {"history": history}
                update(stitcher, top, fit[0][at], fit[1][at], optimiser, schedule)
                step += 1
        return {"history": history}

    @torch.no_grad()
    def kept(self, split: Any, seam: str) -> tuple[Tensor, Tensor]:
        bottom, batches = self.below.bottom(seam).to(self.device), list(self.data.batches(split, 256))
        labels = torch.cat([b.labels for b in batches]).to(self.device)
        return torch.cat([bottom(b.inputs) for b in batches]), labels

    def step_seconds(self, seam: str) -> dict[str, float]:
        """Processor seconds of one whole step of the recipe, of its bare parts, and of one forward of both donors."""
        bottom, top = (part.to(self.device) for part in (self.below.bottom(seam), self.above.top(seam)))
        layer = self.above.layer(seam)
        cls, _ = family_of("norm-affine-norm")
        stitcher = cls.random(ms.stitchers.Site(layer.channels, layer.channels, layer.kind), torch.Generator()).to(
            self.device
        )
        optimiser, schedule = adam(stitcher)
        found: dict[str, list[float]] = {"bottom": [], "tail": []}
        for batch in list(self.data.batches("fit", BATCH, limit=8 * BATCH)):
            started = self.clock()
            with torch.no_grad():
                below = bottom(batch.inputs)
            middle = self.clock()
            update(stitcher, top, below, batch.labels.to(self.device), optimiser, schedule)
            found["bottom"].append(middle - started)
            found["tail"].append(self.clock() - middle)
        return {name: statistics.median(values[1:]) for name, values in found.items()}

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
        send = open_quick(sweep.sender, list(self.seams), sweep.device)
        last = open_quick(sweep.sender, [self.seams[-1]], sweep.device)

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
                x = given[stream.top_layer].detach().requires_grad_(True)
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
    """Seconds spent in looks at the validation split while fitting."""

    def __init__(self, module: Any, clock: Callable[[], float]) -> None:
        self.module, self.look, self.seconds, self.clock = module, module._look, 0.0, clock
        module._look = self

    def __call__(self, *args: Any) -> None:
        started = self.clock()
        self.look(*args)
        self.seconds += self.clock() - started

    def restore(self) -> None:
        self.module._look = self.look


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


def settled(history: list[tuple[int, float]]) -> float:
    """The mean error over the last quarter of a run."""
    last = [seen for step, seen in history if step >= 0.75 * history[-1][0]]
    return sum(last) / len(last)


def crossing(history: list[tuple[int, float]], goal: float) -> int | None:
    return next((step for step, seen in history if seen <= goal), None)


def within(error: float, seen: float, n: int) -> bool:
    """Whether an error in percent lies in the 95 % Wilson interval of one seen on n samples."""
    found = binomtest(round(seen / 100 * n), n).proportion_ci(method="wilson")
    return bool(100 * found.low <= error <= 100 * found.high)


def page(
    bench: Bench, options: argparse.Namespace, long: dict[str, Any], ours: list[Any], goal: dict[str, float],
    steps: dict[str, Any], recipe: dict[str, Any], counted_step: dict[str, float],
) -> str:  # fmt: skip
    """The result in Markdown, every figure computed here from the pieces."""
    first = ours[0]
    crossed = {seam: crossing(first["history"][seam], goal[seam]) for seam in bench.seams}
    reached = [step for step in crossed.values() if step is not None]
    share = max(reached, default=0) / first["of"]
    seconds = statistics.median(run["moments"] + run["solve"] + share * run["steps"] for run in ours)
    whole = {seam: value["bottom"] + value["tail"] for seam, value in steps.items()}
    counted = {kind: {s: crossing(r["history"], goal[s]) for s, r in found.items()} for kind, found in recipe.items()}
    totals: dict[str, float] = {}
    for kind, counts in counted.items():
        known = {seam: CAP if count is None else count for seam, count in counts.items()}
        usual = statistics.median(known.values())
        totals[kind] = sum(known.get(s, usual) * whole[s] for s in bench.seams if crossed[s] is not None)
    totals["paper+"] += statistics.median(run["moments"] + run["solve"] for run in ours)
    full = SCHEDULE * sum(whole.values())
    shared = first["steps"] / first["of"]
    bare = sum(value["tail"] for value in steps.values()) + max(value["bottom"] for value in steps.values())
    # Each seam until its own crossing, as the recipe's: its bare tail that often, at what the shared step costs beside bare ones.
    own = sum(steps[seam]["tail"] * count for seam, count in crossed.items() if count is not None)
    own = (own + max(reached, default=0) * max(value["bottom"] for value in steps.values())) * shared / bare
    own += statistics.median(run["moments"] + run["solve"] for run in ours)
    lines = [
        "# What a sweep costs",
        "",
        "| seam | converged, % | ours: start | ours: best | steps to cross | paper: steps | from our start: steps | one step of the recipe, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seam in bench.seams:
        history = first["history"][seam]
        cell = [
            f"{goal[seam] - MARGIN:.2f}",
            f"{history[0][1]:.2f}",
            f"{min(e for _, e in history):.2f}",
            word(crossed[seam]),
        ]
        cell += [word(counted[k][seam]) if seam in counted[k] else "" for k in ("paper", "paper+")]
        lines.append(f"| {seam} | {' | '.join(cell)} | {whole[seam]:.3f} |")
    worst = max(min(e for _, e in first["history"][s]) - (goal[s] - MARGIN) for s in bench.seams)
    agreeing = sum(
        within(goal[s] - MARGIN, min(e for _, e in first["history"][s]), bench.data.size("val")) for s in bench.seams
    )
    between = max(
        abs(settled(long["closed"]["history"][s]) - settled(long["random"]["history"][s])) for s in bench.seams
    )
    lines += [
        "",
        f"Errors on {bench.data.size('val')} validation samples; *converged* is where the better of two long runs settles "
        f"({4 * FitSpec().steps} steps, from the closed form and from random; mean of the last quarter), which differ by at most {between:.2f} points. "
        f"*Cross* means converged + {MARGIN} points.",
        "",
        f"- Ours, the sweep of all {len(bench.seams)} seams until the last of the {len(reached)} that cross: {seconds:.1f} s "
        f"(moments {first['moments']:.1f}, solving {first['solve']:.1f}, {max(reached, default=0)} steps; median of {len(ours)}). "
        f"The default {first['of']} steps end at most {worst:+.2f} points from converged, which lies within the 95 % interval of ours "
        f"(Wilson, not paired) at {agreeing} of {len(bench.seams)} seams.",
        f"- The paper's recipe to the crossing, each of these {len(reached)} seams alone (a seam that does not cross counts its {CAP} steps): {totals['paper']:.0f} s, **{totals['paper'] / seconds:.0f} times** ours; "
        f"its full schedule of {SCHEDULE:,} steps: {full:.0f} s, **{full / seconds:,.0f} times** ours.",
        f"- Were each of our streams closed at its own crossing, as the recipe's are: about {own:.0f} s (counted from the seconds of the "
        f"tails), which makes it {totals['paper'] / own:.0f} times.",
        f"- The recipe from our closed form: {totals['paper+']:.0f} s, **{totals['paper+'] / seconds:.1f} times** ours.",
        f"- One shared step of the sweep: {shared:.3f} s, {shared / bare:.2f} of one bottom and the sum of its tails "
        f"({bare:.3f} s, the recipe's own steps, forward, backward and update in the usual memory layout).",
        f"- The same step beside the bare passes it must do (one bottom forward, each tail forward and backward, in the sweep's own "
        f"channels-last layout): {counted_step['ours operations'] / counted_step['bare operations']:.3f} of their multiplications and "
        f"additions, as torch counts them, and {counted_step['ours seconds'] / counted_step['bare seconds']:.2f} of their "
        f"seconds ({counted_step['ours seconds']:.3f} and {counted_step['bare seconds']:.3f} s, turn by turn, median of 7).",
        "",
        "## How it was made",
        "",
        "```bash",
        f"python benchmarks/sweep.py --bottom BOTTOM --top TOP --data parquet:DIR --work DIR --samples {options.samples} "
        f"--val {options.val} --seams {options.seams} --repeats {options.repeats}"
        + (f" --device {options.device}" if options.device != "cpu" else ""),
        "```",
        "",
        f"Donors: {described(options.bottom)}, under {described(options.top)}. {bench.data.size('fit')} fit samples without "
        f"augmentation. Looks at the validation split and decoding of images are not counted, on either side; ours looks every "
        f"{LOOK} steps and never stops early, to see the crossing. Ours is the median of {options.repeats} runs, the recipe was run "
        f"once a seam. Steps of the recipe counted at {options.seams} (at most {CAP}); the other seams take their "
        f"median. {hardware(bench.device)}, torch {torch.__version__}, {date.today()}.",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return (
            f"Seconds of the clock on one {torch.cuda.get_device_name(device)} (ours replays recorded steps there, the recipe "
            "is plain PyTorch)"
        )
    return f"Processor seconds of one thread, {platform.machine()}"


def described(folder: Path) -> str:
    card = load_donor(folder).card
    made = card["identity"]
    return (
        f"{made['net']} (seed {made['seed']}, {made['recipe']['steps']} steps, test error {card['test_error']:.1f} %)"
    )


def word(count: int | None) -> str:
    return "not reached" if count is None else str(count)


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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
