"""The tests of ReSi (Klabunde et al., ICLR 2025) on small networks, with stitching among the measures.

    python benchmarks/resi.py --data parquet:DIR --out runs/resi --dry-run
    python benchmarks/resi.py --data parquet:DIR --out runs/resi [--only labels shortcut noise layers outputs]
    python benchmarks/resi.py --redraw

The same command goes on where it was stopped: a network, the measures of one network, a stitch at a time. After each
test docs/results/resi.md is written anew with the tests that are finished, and so are the records beside it, from which
--redraw works the page out.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import resi_page
import side_by_side
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

import modelstitch as ms
from modelstitch.support.files import write_atomic
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.labels import with_labels
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import Recipe, error_rate

SIDE = 8  # pixels to which images are averaged
UNTRAINED = 2  # random bottoms of every top
OBJECTIVES = ("match", "task", "downstream")
LAST = "pool"  # the representation before the head


@dataclass(frozen=True)
class Group:
    """How the networks of a group are trained; what is not said is as for all."""

    labels: str = "true"
    shortcut: float | None = None  # the share of samples whose spot has the colour of their class
    noise: float = 0.0  # standard deviation of what is added to every pixel, of 1


@dataclass(frozen=True)
class Test:
    """One test: which groups, and on what they are looked at."""

    groups: tuple[str, ...]
    spots: bool = False  # of a colour that says nothing


GROUPS = {
    "plain": Group(),
    **{f"labels {p} % random": Group(labels=f"random-{p}") for p in (50, 75, 100)},
    **{f"spot right {p} %": Group(shortcut=p / 100) for p in (0, 50, 75, 100)},
    **{f"noise {s}": Group(noise=s) for s in (0.1, 0.2, 0.4)},
}
TESTS = {
    "labels": Test(("plain", *(name for name, group in GROUPS.items() if group.labels != "true"))),
    "shortcut": Test(tuple(name for name, group in GROUPS.items() if group.shortcut is not None), spots=True),
    "noise": Test(("plain", *(name for name, group in GROUPS.items() if group.noise))),
    "layers": Test(("plain",)),
    "outputs": Test(("plain",)),
}


class Noise:
    """Gaussian noise on every pixel, as an augmentation."""

    def __init__(self, deviation: float) -> None:
        self.deviation, self.recipe = deviation, f"noise of standard deviation {deviation}"

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Noisy inputs (n, c, h, w)."""
        return inputs + self.deviation * torch.randn(inputs.shape, generator=generator)


def spotted(images: Tensor, labels: Tensor, right: float, classes: int, seed: int) -> Tensor:
    """The images (n, c, s, s) with a square spot of a quarter of their side, of the class's colour in a share of them.

    In the others the colour is that of a class that is drawn.
    """
    g, (n, channels, side, _) = torch.Generator().manual_seed(seed), images.shape
    shown = torch.where(torch.rand(n, generator=g) < right, labels, torch.randint(classes, (n,), generator=g))
    turn = torch.arange(classes)[:, None] / classes + torch.arange(channels) / 3  # hues, or levels of grey
    colours = 0.5 + 0.5 * torch.cos(2 * torch.pi * turn) if channels == 3 else (turn[:, :1] + 0.5 / classes)
    size, out = max(1, side // 4), images.clone()
    corners = torch.randint(side - size + 1, (2, n), generator=g)
    for row, column in itertools.product(range(size), repeat=2):
        out[torch.arange(n), :, corners[0] + row, corners[1] + column] = colours[shown].to(images.dtype)
    return out


class Above(nn.Module):
    """What lies above a layer of one network, on samples that hold what every network's layer gave.

    A stitch between two such networks is the stitch of the whole ones, and no bottom is run twice.
    """

    def __init__(self, at: int, module: nn.Module) -> None:
        super().__init__()
        self.pool = Own(at)
        self.head = module.get_submodule("head")

    def forward(self, held: Tensor) -> Tensor:
        """held (n, networks, channels) to logits."""
        logits: Tensor = self.head(self.pool(held))
        return logits


class Own(nn.Module):
    """The part of one network."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, held: Tensor) -> Tensor:
        """held (n, networks, channels) to (n, channels)."""
        return held[:, self.at]


@dataclass
class Run:
    """One run of all tests into a folder."""

    options: argparse.Namespace
    data: ms.Data  # small images, true labels
    out: Path

    def names(self, test: str) -> dict[str, str]:
        """The networks of a test, each with its group."""
        n = 2 * self.options.seeds if test == "outputs" else self.options.seeds
        return {f"{group}, {i}": group for group in TESTS[test].groups for i in range(n)}

    def trained(self, name: str) -> tuple[nn.Module, dict[str, Any]]:
        """A network by name, from the cache if it is there, and what is to be said of it; no two have one seed."""
        group, number = name.rsplit(", ", 1)
        seed = 100 * list(GROUPS).index(group) + int(number)
        how, data = GROUPS[group], self.shown_to(group)
        o = self.options
        recipe = Recipe(o.steps, lr=0.1, schedule="one-cycle", weight_decay=5e-4, channels_last=True)
        spec = DonorSpec(o.net, recipe, seed=seed, labels=how.labels, name=name)
        made = donor(spec, data, self.out / "donors")
        seen = with_labels(data, how.labels, seed=seed)
        told = {"network": name, "group": group, "seed": seed, "seconds": made.card["seconds"]}
        told |= {"error": made.card["test_error"], "error on its fit samples": error_rate(made.module, seen, "fit")}
        return made.module, told | {"weights": made.weights.rpartition(" ")[2]}

    def shown_to(self, group: str) -> ms.Data:
        """The data that networks of a group are trained on."""
        how = GROUPS[group]
        data = self.data if how.shortcut is None else self.with_spots(how.shortcut)
        if not how.noise:
            return data
        return ms.Data(
            *(whole(data, split) for split in ("fit", "val", "test")),
            name=f"{data.name}, {group}",
            n_classes=data.n_classes,
            augment=Noise(how.noise),
        )

    def with_spots(self, right: float) -> ms.Data:
        """The data with spots; those of val and test say nothing."""
        shares = {"fit": right, "val": 0.0, "test": 0.0}
        splits = []
        for i, (split, share) in enumerate(shares.items()):
            images, labels = whole(self.data, split)
            splits.append((spotted(images, labels, share, self.data.n_classes, seed=i), labels))
        return ms.Data(*splits, name=f"{self.data.name}, spots", n_classes=self.data.n_classes)

    def looked_at(self, test: str) -> ms.Data:
        """The data on which a test compares networks."""
        return self.with_spots(0.0) if TESTS[test].spots else self.data

    def untrained(self, number: int) -> nn.Module:
        """A network as it starts, with the BatchNorm statistics of the fit samples."""
        first, _ = whole(self.data, "fit")
        net = build(self.options.net, seed=10_000 + number, classes=self.data.n_classes, in_channels=first.shape[1])
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        with torch.no_grad():
            net.train()(first[:1000])
        return net.eval()


def whole(data: ms.Data, split: Any) -> tuple[Tensor, Tensor]:
    """All samples of a split."""
    batch = next(data.batches(split, data.size(split)))
    return batch.inputs, batch.labels


def small(data: ms.Data, options: argparse.Namespace) -> ms.Data:
    """The first samples of each split, averaged to small images."""
    splits = []
    for split, n in {"fit": options.samples, "val": options.samples // 10, "test": options.test}.items():
        images, labels = whole(data, split)
        splits.append((adaptive_avg_pool2d(images[:n], SIDE), labels[:n]))
    return ms.Data(*splits, name=f"{data.name} {SIDE}x{SIDE}", n_classes=data.n_classes)


@torch.no_grad()
def held(modules: Sequence[nn.Module], images: Tensor, layer: str = LAST) -> Tensor:
    """What a layer of each network gives, (n, networks, ...)."""
    found = []
    for module in modules:
        names = [name for name, _ in module.named_children()]
        below = nn.Sequential(*list(module.children())[: names.index(layer) + 1])
        found.append(torch.cat([below(part) for part in images.split(250)]))
    return torch.stack(found, 1)


def measured(one: Tensor, others: dict[str, Tensor], before: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Every measure of one network's rows (bottom) with those of others; the symmetric ones once for two networks."""
    found: dict[str, dict[str, float | None]] = {}
    for name, other in others.items():
        values: dict[str, float | None] = {}
        for measure in ms.measures.MEASURES.values():
            if name not in before or measure.direction:
                try:
                    values[measure.name] = measure(one, other)
                except ms.StitchError:  # a measure that has no value for these two
                    values[measure.name] = None
        found[name] = values
    return found


def all_measured(rows: dict[str, Tensor], folder: Path) -> dict[tuple[str, str], dict[str, float | None]]:
    """Every measure of all ordered pairs, kept network by network."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    names = list(rows)
    for at, name in enumerate(names):
        path = folder / f"{at}.json"
        if not path.exists():
            others = {other: rows[other] for other in names if other != name}
            write_atomic(path, json.dumps({"of": name, "values": measured(rows[name], others, names[:at])}).encode())
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert kept["of"] == name, f"{path} is of {kept['of']}: expected {name}; choose another --out."
        for other, values in kept["values"].items():
            found[name, other] = {**found.get((other, name), {}), **values}
    return found


def stitched(results: ms.Results) -> dict[tuple[str, str, str, str, str], dict[str, tuple[float, float, float]]]:
    """Penalty and agreement with the top of every stitch, each with its interval, by its ends and objective.

    The bottom of a control is called by the control.
    """
    found: dict[Any, dict[str, Any]] = {}
    frame = results.frame.filter(pl.col("metric").is_in(["penalty", "agreement_top"]))
    for row in frame.iter_rows(named=True):
        bottom = row["bottom"] if row["control"] == "pair" else row["control"]
        key = (bottom, row["top"], row["bottom_layer"], row["top_layer"], row["objective"])
        if row["value"] is not None:
            found.setdefault(key, {})[row["metric"]] = (row["value"], row["low"], row["high"])
    return found


def normalised(pair: float, own: tuple[float, ...], random: Sequence[tuple[float, ...]]) -> float | None:
    """(pair - self) / (random - self); none where random and self do not differ beyond their intervals."""
    if not random or min(low for _, low, _ in random) <= own[2]:
        return None
    return (pair - own[0]) / (sum(value for value, *_ in random) / len(random) - own[0])


def fit_options(options: argparse.Namespace) -> dict[str, Any]:
    """How stitchers are fitted."""
    return {
        "family": "affine",
        "objective": OBJECTIVES,
        "steps": options.fit_steps,
        "eval_every": max(1, options.fit_steps // 2),
        "samples": min(options.samples, 2000),
        "start_samples": 1000,
        "device": "cpu",
    }


def of_pairs(run: Run, test: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A test over pairs of networks at the layer before the head: one row for every ordered pair, and the networks."""
    groups, data = run.names(test), run.looked_at(test)
    made = {name: run.trained(name) for name in groups}
    modules = {name: module for name, (module, _) in made.items()}
    rest = {f"untrained {i}": run.untrained(i) for i in range(UNTRAINED)}
    every = {**modules, **rest}
    images, labels = whole(data, "test")
    rows = held(list(modules.values()), images[: run.options.rows])
    values = all_measured({name: rows[:, i] for i, name in enumerate(modules)}, run.out / test / "measures")
    splits = [whole(data, split) for split in ("fit", "val", "test")]
    layers = [(held(list(every.values()), x), y) for x, y in splits]
    seen = ms.Data(*layers, name=f"{data.name}, {LAST}", n_classes=data.n_classes)
    networks = [ms.Network(Above(i, m).eval(), layers[0][0][:2], name) for i, (name, m) in enumerate(every.items())]
    pairs = [(a, b) for b in modules for a in every if a != b]
    results = ms.compare(
        networks,
        data=seen,
        pairs=pairs,
        both=False,
        layers=LAST,
        controls="self",
        out=run.out / test / "stitches",
        **fit_options(run.options),
    )
    fits = stitched(results)
    with torch.no_grad():
        answers = {name: module(images).double().softmax(1) for name, module in modules.items()}
    found = []
    for bottom, top in itertools.permutations(modules, 2):
        row = {"test": test, "bottom": bottom, "top": top, "bottom_layer": LAST, "top_layer": LAST}
        row |= values[bottom, top]
        for objective in OBJECTIVES:
            ends = (top, LAST, LAST, objective)
            row |= _stitch_row(fits, bottom, ends, list(rest))
        row |= _difference(answers[bottom], answers[top], labels)
        found.append(row)
    return found, [told for _, told in made.values()]


def _stitch_row(fits: Any, bottom: str, ends: tuple[str, ...], rest: Sequence[str]) -> dict[str, float | None]:
    (top, _, top_layer, objective), fit = ends, fits.get((bottom, *ends), {})
    own = fits.get(("self", top, top_layer, top_layer, objective), {})
    random = [fits.get((name, *ends), {}) for name in rest]
    penalty, agreement = fit.get("penalty"), fit.get("agreement_top")
    known = penalty and "penalty" in own and all("penalty" in r for r in random)
    return {
        f"penalty, {objective}": penalty and penalty[0],
        f"normalised penalty, {objective}": normalised(penalty[0], own["penalty"], [r["penalty"] for r in random])
        if known
        else None,
        f"agreement, {objective}": agreement and agreement[0],
    }


def _difference(one: Tensor, two: Tensor, labels: Tensor) -> dict[str, float]:
    """How two networks' answers (n, classes) differ: in accuracy, in the class they name, in probabilities."""
    first, second, mean = one.argmax(1), two.argmax(1), (one + two) / 2
    entropy = [-(p * p.clamp_min(1e-300).log()).sum(1) for p in (one, two, mean)]
    return {
        "difference in accuracy": abs(float((first == labels).double().mean() - (second == labels).double().mean())),
        "disagreement": float((first != second).double().mean()),
        "Jensen-Shannon": float((entropy[2] - (entropy[0] + entropy[1]) / 2).mean()),
    }


def of_layers(run: Run, test: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All layers of a network with each other: one row for every ordered pair of layers, and the networks."""
    found, told, data = [], [], run.looked_at(test)
    images, _ = whole(data, "test")
    for name in run.names(test):
        module, said = run.trained(name)
        told.append(said)
        network = ms.Network(module, images[:2], name)
        layers = network.blocks
        rows = {layer: held([module], images[: run.options.rows], layer)[:, 0] for layer in layers}
        rows = {layer: x.flatten(2).mean(2) if x.ndim > 2 else x for layer, x in rows.items()}
        values = all_measured(rows, run.out / test / name / "measures")
        ends = list(itertools.permutations(layers, 2))
        results = ms.compare(
            [network, network.named(f"{name} again")],
            data=data,
            both=False,
            pairs=[(name, f"{name} again")],
            layers=ends,
            controls=("self", "random"),
            out=run.out / test / name / "stitches",
            **fit_options(run.options),
        )
        fits = stitched(results)
        for one, other in ends:
            row = {"test": test, "bottom": name, "top": name, "bottom_layer": one, "top_layer": other}
            row |= values[one, other]
            for objective in OBJECTIVES:
                row |= _stitch_row(fits, name, (f"{name} again", one, other, objective), ("random",))
            found.append(row)
    return found, told


def take(run: Run, test: str) -> bool:
    """Run a test to its end, and keep its records with those of the others; whether there was something to do."""
    path = run.out / f"{test}.json"
    todo = not path.exists()
    if todo:
        start = time.process_time()
        rows, networks = (of_layers if test == "layers" else of_pairs)(run, test)
        seconds = round(time.process_time() - start)
        write_atomic(path, json.dumps({"rows": rows, "networks": networks, "processor seconds": seconds}).encode())
    return todo


def dry(run: Run, tests: Sequence[str]) -> str:
    """What a run takes, from twenty steps of a training and one stitch both ways."""
    names = list(dict.fromkeys(name for test in tests for name in run.names(test)))
    pairs = sum(len(run.names(test)) * (len(run.names(test)) - 1) for test in tests if test != "layers")
    quick = dataclasses.replace(run, out=run.out / "dry")
    quick.options = argparse.Namespace(**{**vars(run.options), "steps": 20, "seeds": 1})
    start = time.process_time()
    module, _ = quick.trained("plain, 0")
    step = (time.process_time() - start) / 20
    x = held([module], whole(run.data, "test")[0][: run.options.rows])[:, 0]
    start = time.process_time()
    measured(x, {"itself": x}, ())
    a_pair = (time.process_time() - start) / 2 + 0.3
    minutes = (len(names) * run.options.steps * step + pairs * a_pair) / 60
    return (
        f"{len(names)} networks of {run.options.steps} steps, {pairs} ordered pairs of networks, {len(OBJECTIVES)} "
        f"stitches each: about {minutes:.0f} minutes of one thread, estimated from 20 steps and one pair."
    )


def keep(run: Run) -> None:
    """Put the records of all finished tests beside the page."""
    done = {test: json.loads(path.read_text()) for test in TESTS if (path := run.out / f"{test}.json").exists()}
    rows = [row for one in done.values() for row in one["rows"]]
    told = list({one["network"]: one for each in done.values() for one in each["networks"]}.values())
    options = {k: v for k, v in vars(run.options).items() if k not in ("data", "out", "only", "dry_run", "redraw")}
    how = {
        "options": options,
        "data": run.data.describe(),
        "seconds": {test: one["processor seconds"] for test, one in done.items()},
        "training seconds": round(sum(one["seconds"] for one in told)),
        "hardware": side_by_side.hardware(torch.get_num_threads()),
        "date": time.strftime("%Y-%m-%d"),
        "command": "python benchmarks/resi.py --data parquet:DIR --out runs/resi",
    }
    side_by_side.RESULTS.mkdir(exist_ok=True)
    resi_page.write(side_by_side.RESULTS, pl.DataFrame(rows, infer_schema_length=None), pl.DataFrame(told), how)


def main(given: Sequence[str] | None = None) -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="data of images by name, such as parquet:DIR")
    parser.add_argument("--out", type=Path, default=Path("runs/resi"))
    parser.add_argument("--only", nargs="+", choices=TESTS, default=list(TESTS))
    parser.add_argument("--dry-run", action="store_true", help="say what it takes, and run nothing")
    parser.add_argument("--redraw", action="store_true", help="work the page out from the kept records")
    parser.add_argument("--net", default="small-resnet?width=16&blocks=4")
    parser.add_argument("--seeds", type=int, default=5, help="networks of each group; twice as many for outputs")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--samples", type=int, default=5000, help="to train on")
    parser.add_argument("--test", type=int, default=1000, help="samples on which stitches are measured")
    parser.add_argument("--rows", type=int, default=500, help="samples on which measures are taken")
    parser.add_argument("--fit-steps", type=int, default=40, help="of each stitcher that is fitted")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    if options.redraw:
        resi_page.redraw(side_by_side.RESULTS)
        return
    run = Run(options, small(ms.load_data(options.data), options), options.out)
    if options.dry_run:
        print(dry(run, options.only))
        return
    for test in options.only:
        if take(run, test) or test == options.only[-1]:
            keep(run)


if __name__ == "__main__":
    main()
