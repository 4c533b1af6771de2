"""A default sweep against the paper's recipe, run plainly until it errs as little; looks counted on both sides.

    python benchmarks/recipe.py --work DIR [--bottom NAME] [--top NAME] [--weights FILE FILE] [--import FILE.py]
                                [--data NAME] [--fit N] [--val N] [--layers A,B>C] [--mean R,G,B --std R,G,B]
                                [--cap N] [--rounds N] [--follow A,B] [--name PAGE]

ours        `compare` one way at the given layers with the defaults, but for augmentation: sums, start, steps, looks
            and the choice of the kept state. Its tests, and the look at the networks alone, are on neither side.
paper       each seam alone: norm-affine-norm from random, Adam 1e-3, cosine over 120,000 steps of 128, a full forward
            of the bottom and of the top at every step, a look at the whole validation split after every pass over the
            fit samples (Bansal et al. 2021, A.4, and the released code).
from ours   the same schedule and looks from our closed form, a plain affine map, which costs our sums.

The recipe stops where its error on the whole validation split is first as low as that of the state that ours keeps,
measured on the same samples. To find that step it is looked at more often than it would be, which is not counted; one
look a pass is. Its path is followed on kept activations of the bottom where they fit, which are the same numbers; its
seconds are steps and looks so counted times those of plain steps and looks, measured next to ours in every round.

Multiplications are those of convolutions, matrix products and attention, as torch's counter finds them. What is in
--work already is not measured again; a path that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from bound import PLACES, Meter, metered
from side_by_side import table, write
from sweep import RATE, adam, error, in_memory, update
from sweep_page import SCHEDULE, nearest
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import modelstitch as ms
from modelstitch.engine.fit import looks
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender, view_of
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.models.load import load_for, register
from modelstitch.stitchers import Site, family_of
from modelstitch.support.memory import keep_heap

BATCH = 128
OURS = ("sums", "start", "steps", "looks")  # the parts that are held against the recipe
KINDS = {"paper": ("norm-affine-norm", "random"), "from ours": ("affine", "closed")}
KEPT = 10**9  # bytes of kept activations at a seam
OFTEN = 8  # looks in a pass while a path is followed; twice as many in the first
SAVED = 20.0  # seconds between two states of a path
CPU = torch.device("cpu")


class Seconds(Meter):
    """Processor seconds alone: a counter of products takes time itself."""

    def __enter__(self) -> Seconds:
        self._at = self._now()
        return self

    def __exit__(self, *how: Any) -> None:
        self._turn()

    def _now(self) -> tuple[float, float]:
        return 0.0, time.process_time()


class Bench:
    """Networks, data in memory, and the pieces that are done."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.work: Path = given.work
        self.work.mkdir(parents=True, exist_ok=True)
        data = ms.load_data(given.data)
        parts = [("fit", given.fit), ("val", given.val), ("test", 256)]
        self.data = ms.Data(*(in_memory(data, split, limit) for split, limit in parts), n_classes=data.n_classes)
        view = (
            ms.Normalise(*([float(x) for x in t.split(",")] for t in (given.mean, given.std))) if given.mean else None
        )
        self.below, self.above = (
            load_for(data, name, weights=weights, view=view).named(side)
            for name, weights, side in zip((given.bottom, given.top), given.weights, ("bottom", "top"))
        )
        seams = [(low, high or low) for low, _, high in (part.partition(">") for part in given.layers.split(","))]
        self.seams = {f"{low} → {high}": (low, high) for low, high in seams}
        self.cap: int = given.cap
        self.followed = [s for s in self.seams if not given.follow or s.split(" → ")[1] in given.follow.split(",")]
        self.per_pass = math.ceil(self.data.size("fit") / BATCH)

    def piece(self, name: str, make: Callable[[], Any]) -> Any:
        """What was measured under a name, now or before."""
        path = self.work / f"{name}.json"
        if not path.is_file():
            value = make()
            path.write_text(json.dumps(value), encoding="utf-8")
            print(f"{name}: {time.strftime('%H:%M:%S')}", flush=True)
        return json.loads(path.read_text(encoding="utf-8"))

    def ours(self) -> ms.Results:
        """The sweep as a user asks for it."""
        seams = list(self.seams.values())
        return ms.compare(
            self.below, self.above, self.data, layers=seams, controls=(), both=False, augment=False, device="cpu"
        )

    def counted(self) -> dict[str, float]:
        """Multiplications of ours by part."""
        meter, _ = metered(self.ours)
        return {part: meter.products[part] for part in OURS}

    def timed(self) -> dict[str, Any]:
        """Processor seconds of ours by part, how each fit ended, and its error on the whole validation split."""
        meter, found = Seconds(), dict[str, float]()
        with ExitStack() as stack:
            stack.enter_context(whole_errors(found, meter))
            for owner, attribute, name in PLACES:
                stack.enter_context(patch.object(owner, attribute, meter.within(name, getattr(owner, attribute))))
            with meter:
                records = self.ours().records
        ends = {f"{r.bottom.layer} → {r.top.layer}": r.history[-1][0] if r.history else 0 for r in records}
        return {"seconds": {part: meter.seconds[part] for part in OURS}, "errors": found, "steps": ends}

    def started(self, seam: str, kind: str) -> nn.Module:
        """The stitcher of a path before its first step."""
        (low, high), (name, init) = self.seams[seam], KINDS[kind]
        cls, options = family_of(name)
        if init == "random":
            below, above = self.below.layer(low), self.above.layer(high)
            return cls.random(Site(below.channels, above.channels, above.kind), torch.Generator().manual_seed(0))
        sweep = Sweep(NetworkSender(self.below), self.above, self.data, FitSpec(augment=False), CPU)
        stream = open_stream(
            seam,
            sweep.sender,
            self.above,
            low,
            high,
            family=cls,
            options=options,
            objective="task",
            init=init,
            later=(),
            device=CPU,
        )
        collect([stream], sweep)
        solve([stream], sweep)
        assert stream.stitcher is not None
        return stream.stitcher.requires_grad_(True)

    def viewed(self, split: Any) -> tuple[Tensor, Tensor]:
        """The samples of a split as the bottom sees them, and their labels."""
        batches = list(self.data.batches(split, 500))
        return torch.cat([view_of(self.below, b, CPU) for b in batches]), torch.cat([b.labels for b in batches])

    def path(self, seam: str, kind: str, goal: float) -> dict[str, Any]:
        """The recipe's errors on the whole validation split by step, until one is as low as the goal."""
        low, high = self.seams[seam]
        bottom, top, stitcher = self.below.bottom(low), self.above.top(high), self.started(seam, kind)
        (x, y), (x_val, y_val) = self.viewed("fit"), self.viewed("val")
        per_sample = 4 * math.prod(self.below.layer(low).shape)
        through: Callable[[Tensor], Tensor] = torch.no_grad()(bottom)
        val = torch.cat([through(part) for part in x_val.split(256)])
        if per_sample * len(x) <= KEPT:
            x, through = torch.cat([through(part) for part in x.split(256)]), lambda kept: kept
        optimiser, schedule = adam(stitcher)
        step, history = 0, []
        saved = self.work / f"{kind}-{seam}.pt"
        if saved.is_file():
            step, history, *states = torch.load(saved, weights_only=True)
            for part, state in zip((stitcher, optimiser, schedule), states):
                part.load_state_dict(state)
        noted = time.monotonic()
        while True:
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(step // self.per_pass))
            for at in order.split(BATCH)[step % self.per_pass :]:
                every = max(1, self.per_pass // (OFTEN * (2 if step < self.per_pass else 1)))
                if step % every == 0 or step >= self.cap:
                    history.append((step, error(stitcher, top, val, y_val)))
                    if history[-1][1] <= goal or step >= self.cap:
                        saved.unlink(missing_ok=True)
                        return {"goal": goal, "history": history}
                    if time.monotonic() - noted > SAVED:
                        states = [part.state_dict() for part in (stitcher, optimiser, schedule)]
                        torch.save([step, history[:-1], *states], saved)
                        noted = time.monotonic()
                update(stitcher, top, through(x[at]), y[at], optimiser, schedule)
                step += 1

    def plain(self, seam: str) -> dict[str, dict[str, float]]:
        """Seconds and multiplications of a plain step of 128 and of a look at one sample, both networks in full."""
        low, high = self.seams[seam]
        bottom, top, stitcher = self.below.bottom(low), self.above.top(high), self.started(seam, "paper")
        optimiser, schedule = adam(stitcher)
        batches = list(self.data.batches("fit", BATCH, limit=8 * BATCH))

        def stepped(batch: Any) -> None:
            with torch.no_grad():
                below = bottom(view_of(self.below, batch, CPU))
            update(stitcher, top, below, batch.labels, optimiser, schedule)

        def looked(batch: Any) -> None:
            with torch.no_grad():
                below = bottom(view_of(self.below, batch, CPU))
            error(stitcher, top, below, batch.labels)

        found: dict[str, dict[str, float]] = {}
        for name, call, share in (("step", stepped, 1), ("look", looked, len(batches[0]))):
            with FlopCounterMode(display=False) as counter:
                call(batches[0])
            seconds = []
            for batch in batches[1:]:
                began = time.process_time()
                call(batch)
                seconds.append(time.process_time() - began)
            products = counter.get_total_flops() / 2
            found[name] = {"seconds": statistics.median(seconds) / share, "products": products / share}
        return found

    def recipe(self, steps: int, plain: dict[str, dict[str, float]], unit: str) -> float:
        """What so many steps of the recipe take, with a look at the whole validation split after each pass."""
        looked = max(1, math.ceil(steps / self.per_pass)) * self.data.size("val")
        return steps * plain["step"][unit] + looked * plain["look"][unit]


@contextmanager
def whole_errors(found: dict[str, float], meter: Meter) -> Iterator[None]:
    """While this is open, the error of every kept state on the whole validation split is noted, not counted."""
    choose = looks.Looking.choose

    def chosen(self: looks.Looking, runs: Any) -> None:
        choose(self, runs)
        with meter.part("rest"):
            for run in runs:
                run._put(run.best_state)
            for run, outcome in zip(runs, self._outcomes(runs, 0, self._size)):
                found[f"{run.stream.bottom_layer} → {run.stream.top_layer}"] = outcome.error

    with patch.object(looks.Looking, "choose", chosen):
        yield


def crossing(path: dict[str, Any]) -> int | None:
    """The step at which a path first errs as little as its goal."""
    return next((step for step, seen in path["history"] if seen <= path["goal"]), None)


def told_steps(steps: dict[str, int | None], seam: str, cap: int) -> str:
    """The steps of a path that was followed."""
    if seam not in steps:
        return ""
    return f"over {cap:,}" if steps[seam] is None else f"{steps[seam]:,}"


def main() -> None:
    given = _options()
    torch.set_num_threads(1)
    keep_heap()
    if given.file is not None:
        register(given.file)
    bench = Bench(given)
    rounds = []
    for i in range(given.rounds):
        ours = bench.piece(f"ours-{i}", bench.timed)
        rounds.append((ours, {s: bench.piece(f"plain-{i}-{s}", lambda s=s: bench.plain(s)) for s in bench.seams}))
    counted = bench.piece("counted", bench.counted)
    goals = rounds[0][0]["errors"]
    paths = {
        kind: {s: bench.piece(f"{kind}-{s}", lambda s=s, k=kind: bench.path(s, k, goals[s])) for s in bench.followed}
        for kind in reversed(KINDS)
    }
    write(given.name, "A sweep against the paper's recipe", page(bench, given, rounds, counted, paths))


def page(bench: Bench, given: argparse.Namespace, rounds: Any, counted: Any, paths: Any) -> list[str]:
    """Tables and sentences, every figure worked out here from the pieces."""
    first, plain = rounds[0]
    steps = {kind: {s: crossing(path) for s, path in found.items()} for kind, found in paths.items()}
    known = {kind: {s: bench.cap if n is None else n for s, n in found.items()} for kind, found in steps.items()}
    taken = {kind: {s: some[nearest(s, some, list(bench.seams))] for s in bench.seams} for kind, some in known.items()}
    taken["all 120,000 steps"] = dict.fromkeys(bench.seams, SCHEDULE)
    seams = [
        (
            s,
            f"{first['errors'][s]:.2f}",
            str(first["steps"][s]),
            *(told_steps(steps[kind], s, bench.cap) for kind in KINDS),
            f"{plain[s]['step']['products'] / 1e9:.2f}",
            f"{1000 * statistics.median(costs[s]['step']['seconds'] for _, costs in rounds):.0f}",
        )
        for s in bench.seams
    ]
    rows = [
        (
            "ours",
            f"{sum(counted.values()) / 1e9:,.0f}",
            "1",
            _seconds([sum(r["seconds"].values()) for r, _ in rounds]),
            "1",
        )
    ]
    for kind, some in taken.items():
        own = counted["sums"] + counted["start"] if kind == "from ours" else 0.0
        products = own + sum(bench.recipe(some[s], plain[s], "products") for s in bench.seams)
        clocks = []
        for ours, costs in rounds:
            begun = ours["seconds"]["sums"] + ours["seconds"]["start"] if kind == "from ours" else 0.0
            clocks.append(begun + sum(bench.recipe(some[s], costs[s], "seconds") for s in bench.seams))
        ratios = [clock / sum(ours["seconds"].values()) for clock, (ours, _) in zip(clocks, rounds)]
        told = f"{statistics.median(ratios):,.1f} ({min(ratios):,.1f} to {max(ratios):,.1f})"
        times = f"{products / sum(counted.values()):,.1f}"
        rows.append((kind, f"{products / 1e9:,.0f}", times, _seconds(clocks), told))
    parts = [(p, f"{counted[p] / 1e9:,.1f}", _seconds([r["seconds"][p] for r, _ in rounds])) for p in OURS]
    missed = sum(n is None for found in steps.values() for n in found.values())
    return [
        f"{given.bottom} under {given.top}; {given.data}, {bench.data.size('fit'):,} samples to fit and "
        f"{bench.data.size('val'):,} to choose on, in memory, without augmentation. {len(bench.seams)} seams.",
        table(("", "multiplications, 10⁹", "times ours", "processor seconds", "times ours"), rows),
        "Seam by seam: the error on the whole validation split that ours ends at, its steps, the recipe's steps until "
        "it errs as little, and what one of them takes:",
        table(("seam", "error, %", "our steps", "paper", "from ours", "10⁹ a step", "ms a step"), seams),
        f"A path that does not come so low within {bench.cap:,} steps counts these: there were {missed}. A seam "
        "without figures was not followed, and counts the steps of the nearest one that was. Ours by part:",
        table(("part", "multiplications, 10⁹", "processor seconds"), parts),
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        f"Medians of {len(rounds)} rounds, ratios taken within each; rate {RATE:g}.",
    ]


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):,.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bottom", default="zoo:resnet20?width=8")
    parser.add_argument("--top", default="zoo:resnet20?width=8")
    parser.add_argument("--weights", nargs=2, default=(None, None))
    parser.add_argument("--import", dest="file", type=Path)
    parser.add_argument("--data", default="digits")
    for split, size in (("fit", 900), ("val", 100)):
        parser.add_argument(f"--{split}", type=int, default=size)
    parser.add_argument("--layers", default="block3,block6,block9")
    for name in ("mean", "std"):
        parser.add_argument(f"--{name}", help="of the view of both networks")
    parser.add_argument("--cap", type=int, default=6000, help="steps after which the recipe is no longer followed")
    parser.add_argument("--follow", default="", help="layers of the top whose paths are followed; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="recipe", help="of the page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
