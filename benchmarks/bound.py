"""What a whole job multiplies, part by part, beside the least that its question needs.

    python benchmarks/bound.py [count | converged | lengths] [--bottom NAME] [--top NAME] [--weights FILE FILE]
                               [--import FILE.py] [--data NAME] [--fit N] [--val N] [--test N]
                               [--steps N] [--eval-every N] [--look N] [--start-samples N] [--objective NAME]
                               [--layers A,B>C] [--only pair,compare,...] [--mean R,G,B --std R,G,B]
                               [--lengths STEPS,STEPSxBATCH,...] [--name PAGE] [--out DIR]

Jobs: ``pair`` is `compare` one way at the given layers without controls, ``compare`` with the default ones, ``matrix``
all pairs of these layers, ``similarity`` their similarities with the default measures. Multiplications are those of
convolutions, matrix products and attention, as torch's counter finds them, forward and backward (products that numpy
takes otherwise are torch's here). Seconds are the processor's, of one thread, the counter's own work among them.

The bound of a job is one pass over the test split of every network and of every tail that it measures. For
similarities, which have no tail, it is one pass of both networks, up to the last of the layers, over their split.

Parts: ``alone`` what the networks do by themselves (their errors), ``sums`` of closed forms, ``start`` their solution,
``steps`` of the fits, ``looks`` at the validation split, ``test`` the final measurement with its truth checks, and
``rest``. Where all splits, the steps, looks and starts shrink together, shares stay, but for the look at the networks
alone, which takes a fixed number of samples.

``converged`` holds the fits of ``pair`` against as many steps of Adam, all of them taken, every look on the whole
validation split, from the closed form and, of the paper's family, from a random start. What is in ``--out`` already is
not run again.

``lengths`` holds fits of several lengths against each other: their penalties at each seam and in the mean, and what
their steps multiply, as a multiple of the bound and of what all three splits take once. ``160x32`` are 160 steps of 32
samples; 0 is the closed form of all fit samples. All steps are taken.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from side_by_side import table, write
from torch.utils.flop_counter import FlopCounterMode

import modelstitch as ms
from modelstitch.engine.fit import looks
from modelstitch.engine.fit.options import FitSpec
from modelstitch.models.load import load_for, register
from modelstitch.study.sweeps import bench, fitted, measured
from modelstitch.support.fast import products

PARTS = ("alone", "sums", "start", "steps", "looks", "test", "rest")
PLACES = (  # what is counted as which part: an inner one takes its share out of the outer one's
    (bench.Bench, "alone", "alone"),
    (fitted, "collect", "sums"),
    (fitted, "collect_together", "sums"),
    (fitted, "solve", "start"),
    (fitted, "weigh", "start"),
    (fitted, "train", "steps"),
    *((looks.Looking, method, "looks") for method in ("outcomes", "own_error", "choose")),
    (measured, "final", "test"),
)
OF_FITS = ("steps", "eval_every", "look", "start_samples", "objective")
JOBS = ("pair", "compare", "matrix", "similarity")


class Meter:
    """Multiplications and processor seconds by part."""

    def __init__(self) -> None:
        self.products, self.seconds = Counter[str](), Counter[str]()
        self._open, self._counter = ["rest"], FlopCounterMode(display=False)
        self._at = (0.0, 0.0)

    def __enter__(self) -> Meter:
        self._counter.__enter__()
        self._at = self._now()
        return self

    def __exit__(self, *how: Any) -> None:
        self._turn()
        self._counter.__exit__(*how)

    def _now(self) -> tuple[float, float]:
        return self._counter.get_total_flops() / 2, time.process_time()

    def _turn(self) -> None:
        products, seconds = self._now()
        self.products[self._open[-1]] += products - self._at[0]
        self.seconds[self._open[-1]] += seconds - self._at[1]
        self._at = products, seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens within counts as this part."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def within(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted as this part."""

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return counted


def metered(job: Callable[[], Any]) -> tuple[Meter, Any]:
    """Run a job, and count it."""
    meter = Meter()
    with ExitStack() as stack:
        stack.enter_context(patch.object(products, "_by_numpy", lambda *sides: False))  # torch counts its own alone
        for owner, attribute, name in PLACES:
            stack.enter_context(patch.object(owner, attribute, meter.within(name, getattr(owner, attribute))))
        with meter:
            found = job()
    return meter, found


def cost(module: Any, *inputs: Any) -> float:
    """Multiplications of a module for one sample of a batch of two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() / 4


def whole(network: ms.Network) -> float:
    """Multiplications of a network for one sample."""
    return cost(network.full(), network.batch_of(2))


def bound(records: Any, networks: dict[str, ms.Network], test: int) -> float:
    """The least multiplications that the records need: each network and each tail once over the test split.

    A tail is run for every cell, since no two have one map; a bottom once for all cells that it feeds. Networks that
    controls draw anew count as networks of their own.
    """
    tails, bottoms = 0.0, dict[Any, float]()
    for record in records:
        top = networks[record.top.name]
        layer = top.layer(record.top.layer)
        tails += cost(top.top(record.top.layer), torch.zeros(2, *layer.shape, dtype=layer.dtype), top.batch_of(2))
        bottoms[record.top.name] = whole(top)
        if record.bottom.name in networks and record.bottom.layer:
            drawn = record.control if record.control == "random" else ""
            bottoms[record.bottom.name + drawn] = whole(networks[record.bottom.name])
    return test * (tails + sum(bottoms.values()))


def _end(record: Any) -> tuple[str, ...]:
    """Control, seam, steps taken, why no more, and the penalty with its interval."""
    steps = str(record.history[-1][0]) if record.history else "0"
    stopped = (note.removeprefix("stopped: ") for note in record.notes if note.startswith("stopped: "))
    why = next(stopped, record.config["objective"])
    seam = f"{record.bottom.layer} → {record.top.layer}"
    said = why.partition(" after ")[0] if " after " in why else why
    return record.control, seam, steps, said, _told(_penalty(record))


RUNS: dict[str, dict[str, Any]] = {  # how fits are run that are held against each other
    "default": {},
    "closed": {"optimizer": "adam"},
    "random": {"init": "random", "family": "norm-affine-norm"},  # an affine map from random is not there by then
}


def converged(pair: tuple[Any, Any, Any], seams: Sequence[tuple[str, str]], out: Path | None, **fit: Any) -> str:
    """The table of default fits beside whole runs of Adam from two starts; finished fits in ``out`` are read."""
    usual = {name: FitSpec.model_fields[name].default for name in ("steps", "eval_every")} | fit
    longer = {"eval_every": min(usual["steps"], 4 * usual["eval_every"]), "patience": usual["steps"]}
    longer |= {"stop_early": False, "look": pair[2].size("val")}
    found: dict[str, dict[tuple[str, str], Any]] = {}
    for name, how in RUNS.items():
        options = {**fit, **({} if name == "default" else longer), **how, "device": "cpu", "controls": ()}
        kept = None if out is None else out / name
        records = ms.compare(*pair, layers=list(seams), both=False, out=kept, **options).records
        found[name] = {(r.bottom.layer, r.top.layer): r for r in records}
    rows = []
    for seam, record in found["default"].items():
        chosen, *long = (_penalty(found[name][seam]) for name in RUNS)
        best = min(metric.value for metric in long)
        inside = chosen.low is not None and chosen.low <= best <= chosen.high
        ends = [f"{metric.value:+.2f}" for metric in long]
        rows.append((*_end(record)[1:3], _told(chosen), *ends, "yes" if inside else "no"))
    return table(
        ("seam", "steps", "penalty", "Adam, closed form", "Adam, paper's, from random", "better of the two inside"),
        rows,
    )


def lengths(pair: tuple[Any, Any, Any], seams: Sequence[tuple[str, str]], asked: str, fit: int) -> str:
    """The table of fits of several lengths, all of their steps taken."""
    bottom, top, data = pair
    tails = sum(cost(top.top(at), torch.zeros(2, *top.layer(at).shape), top.batch_of(2)) for _, at in seams)
    least, splits = whole(bottom) + whole(top) + tails, data.size("val") + data.size("test") + fit
    rows = []
    for text in asked.split(","):
        steps, _, batch = text.partition("x")
        how: dict[str, Any] = {"objective": "match"}
        if int(steps):
            how = {"steps": int(steps), "batch_size": int(batch or FitSpec.model_fields["batch_size"].default)}
            how |= {"eval_every": max(1, int(steps) // 8), "stop_early": False, "patience": int(steps)}
        how |= {"layers": list(seams), "both": False, "controls": (), "device": "cpu", "samples": fit}
        meter, found = metered(partial(ms.compare, *pair, **how))
        chosen = [_penalty(record) for record in found.records]
        taken = meter.products["steps"] / least
        mean = sum(metric.value for metric in chosen) / len(chosen)
        costs = (f"{taken / data.size('test'):.1f}", f"{taken / splits:.1f}")
        rows.append((text, *map(_told, chosen), f"{mean:+.2f}", *costs))
    named = (f"{low} → {high}" for low, high in seams)
    return table(("steps", *named, "mean", "steps / bound", "steps / all splits once"), rows)


def _penalty(record: Any) -> Any:
    return next(metric for metric in record.metrics if metric.name == "penalty")


def _told(metric: Any) -> str:
    interval = "" if metric.low is None else f" [{metric.low:+.2f}, {metric.high:+.2f}]"
    return f"{metric.value:+.2f}{interval}"


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", nargs="?", default="count", choices=("count", "converged", "lengths"))
    parser.add_argument("--bottom", default="zoo:resnet20?width=8")
    parser.add_argument("--top", default="zoo:resnet20?width=8")
    parser.add_argument("--weights", nargs=2, default=(None, None))
    parser.add_argument("--import", dest="file", type=Path)
    parser.add_argument("--data", default="digits")
    for split, size in (("fit", 900), ("val", 100), ("test", 200)):
        parser.add_argument(f"--{split}", type=int, default=size)
    parser.add_argument("--steps", type=int, help="of a fit; the default by default")
    parser.add_argument("--eval-every", type=int, help="steps between two looks; the default by default")
    parser.add_argument("--objective", choices=("task", "distill"), help="of pair and compare; task by default")
    parser.add_argument("--look", type=int, help="validation samples of a look; the default by default")
    parser.add_argument("--start-samples", type=int, help="of a start; the default by default")
    parser.add_argument("--layers", default="block3,block6,block9")
    parser.add_argument("--only", default=",".join(JOBS))
    for name in ("mean", "std"):
        parser.add_argument(f"--{name}", help="of the view of both networks")
    parser.add_argument("--name", help="of the page; bound, or converged, by default")
    parser.add_argument("--lengths", default="0,10,20,40,80,160", help="of the fits of lengths")
    parser.add_argument("--out", type=Path, help="folder of the fits of converged: what it holds is not run again")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.file is not None:
        register(given.file)
    data = ms.load_data(given.data).shorter(val=given.val, test=given.test)
    view = ms.Normalise(*(_numbers(given.mean), _numbers(given.std))) if given.mean else None
    bottom, top = (
        load_for(data, name, weights=weights, view=view).named(side)
        for name, weights, side in zip((given.bottom, given.top), given.weights, ("bottom", "top"))
    )
    networks = {network.name: network for network in (bottom, top)}
    seams = [(low, high or low) for low, _, high in (part.partition(">") for part in given.layers.split(","))]
    layers = tuple([seam[side] for seam in seams] for side in (0, 1))
    fit = {name: getattr(given, name) for name in OF_FITS if getattr(given, name) is not None}
    solved: dict[str, Any] = {"device": "cpu", "samples": given.fit}
    options = {**solved, **fit}
    jobs: dict[str, Callable[[], Any]] = {
        "pair": lambda: ms.compare(bottom, top, data, layers=seams, controls=(), both=False, **options),
        "compare": lambda: ms.compare(bottom, top, data, layers=seams, both=False, **options),
        "matrix": lambda: ms.matrix(bottom, top, data, layers=layers, **solved),
        "similarity": lambda: ms.similarity(bottom, top, data, layers=layers, device="cpu"),
    }
    sizes = " / ".join(f"{n:,}" for n in (given.fit, data.size("val"), data.size("test")))
    told = f"{given.bottom} under {given.top} at {given.layers}; {given.data}, {sizes} samples to fit, choose, test on."
    about = (__doc__ or "").split("\n\n", 2)[2].replace("``", "`")
    if given.mode == "lengths":
        beside = lengths((bottom, top, data), seams, given.lengths, given.fit)
        write(given.name or "lengths", "Fits of several lengths", [told, beside, about.split("\n\n")[-1]])
        return
    if given.mode == "converged":
        beside = converged((bottom, top, data), seams, given.out, samples=given.fit, **fit)
        write(given.name or "converged", "Default fits beside long ones", [told, beside, about.split("\n\n")[-2]])
        return
    rows, clocks, ends = [], [], []
    for name in given.only.split(","):
        meter, found = metered(jobs[name])
        least = (
            bound(found.records, networks, data.size("test"))
            if found.records
            else data.size("val") * sum(cost(n.taps(at), n.batch_of(2)) for n, at in zip((bottom, top), layers))
        )
        ends += [(name, *_end(record)) for record in found.records]
        total = meter.products.total()
        cells = str(len(found.records)) if found.records else "–"
        shares = [f"{meter.products[part] / least:.2f}" for part in PARTS]
        rows.append((name, cells, f"{least / 1e9:,.1f}", f"{total / 1e9:,.1f}", f"{total / least:.2f}", *shares))
        clocks.append((name, f"{sum(meter.seconds.values()):.1f}", *(f"{meter.seconds[p]:.1f}" for p in PARTS)))
    write(
        given.name or "bound",
        "The whole job, counted",
        [
            told,
            "Multiplications in units of 10⁹, then each part as a multiple of the bound:",
            table(("job", "cells", "bound", "all", "all / bound", *PARTS), rows),
            "Processor seconds of the same runs, the counter's own among them:",
            table(("job", "all", *PARTS), clocks),
            "How each fit ended, and its penalty in points:",
            table(("job", "control", "seam", "steps", "why", "penalty"), ends),
            about,
        ],
    )


if __name__ == "__main__":
    main()
