"""The page of benchmarks/sweep.py: every figure worked out from the pieces that it has measured."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from datetime import date
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binomtest

from modelstitch.engine.fit.options import FitSpec
from modelstitch.zoo.donors import load_donor

SCHEDULE = 120_000  # the paper's steps
MARGIN = 0.5  # points
LOOK = 5  # steps between looks of ours
CAP = 6_000  # steps after which the recipe is no longer followed


def settled(history: list[tuple[int, float]]) -> float:
    """The mean error over the last quarter of a run."""
    last = [seen for step, seen in history if step >= 0.75 * history[-1][0]]
    return sum(last) / len(last)


def is_looked_at(step: int) -> bool:
    """Whether the recipe is looked at before this step."""
    return step % (LOOK if step < FitSpec().steps else 4 * LOOK) == 0


def crossing(history: list[tuple[int, float]], goal: float) -> int | None:
    return next((step for step, seen in history if seen <= goal), None)


def nearest(seam: str, known: dict[str, int], seams: list[str]) -> str:
    """The measured seam that lies nearest in depth, the later one of two as near: later ones take fewer steps."""
    return min(known, key=lambda other: (abs(seams.index(other) - seams.index(seam)), -seams.index(other)))


def within(error: float, seen: float, n: int) -> bool:
    """Whether an error in percent lies in the 95 % Wilson interval of one seen on n samples."""
    found = binomtest(round(seen / 100 * n), n).proportion_ci(method="wilson")
    return bool(100 * found.low <= error <= 100 * found.high)


def page(
    bench: Any,
    options: argparse.Namespace,
    long: dict[str, Any],
    runs: list[list[Any]],
    closing: list[list[Any]],
    goal: dict[str, float],
    steps: dict[str, Any],
    halves: dict[str, Any],
    recipe: dict[str, Any],
    counted_step: dict[str, float],
) -> str:
    """The result in Markdown, every figure computed here from the pieces."""
    ours = runs[0]
    first = ours[0]
    crossed = {seam: crossing(first["history"][seam], goal[seam]) for seam in bench.seams}
    reached = [step for step in crossed.values() if step is not None]
    share = max(reached, default=0) / first["of"]
    seconds = statistics.median(run["moments"] + run["solve"] + share * run["steps"] for run in ours)
    whole = {seam: value["bottom"] + value["tail"] for seam, value in steps.items()}
    counted = {kind: {s: crossing(r["history"], goal[s]) for s, r in found.items()} for kind, found in recipe.items()}
    going = [seam for seam in bench.seams if crossed[seam] is not None]
    totals = {kind: total(counts, going, whole, bench.seams) for kind, counts in counted.items()}
    recipes = totals["paper"], totals["paper+"]
    closed = [each_closed(several, recipes, goal) for several in closing]
    looked = statistics.median(sum(run[part] for part in ("moments", "solve", "steps", "looks")) for run in closing[0])
    looks = {seam: sum(map(is_looked_at, range(1 + (count or CAP)))) for seam, count in counted["paper"].items()}
    looking = totals["paper"] + total(looks, going, {seam: value["look"] for seam, value in steps.items()}, bench.seams)
    others = []
    for several, each, fit, each_closing in zip(runs[1:], closing[1:], options.other, closed[1:]):
        line = f"{quicker(several, goal, recipes, fit, bench.data.size('val'))} {each_closing}"
        if fit.get("precision") == "bfloat16":
            cost = {seam: value["bottom"] + value["tail"] for seam, value in halves.items()}
            same = total(counted["paper"], going, cost, bench.seams), total(counted["paper+"], going, cost, bench.seams)
            line += (
                f" Were the recipe's steps taken in bfloat16 too, and as many: {factors(several, each, same, goal)}."
            )
        others.append(line)
    totals["paper+"] += statistics.median(run["moments"] + run["solve"] for run in ours)
    full = SCHEDULE * sum(whole.values())
    shared = first["steps"] / first["of"]
    bare = sum(value["tail"] for value in steps.values()) + max(value["bottom"] for value in steps.values())
    lines = [
        "# What a sweep costs",
        "",
        "| seam | converged, % | ours: start | ours: best | steps to cross | paper: steps | from our start: steps | "
        "one step of the recipe, s |",
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
        f"Errors on {bench.data.size('val')} validation samples; *converged* is where the better of two long runs "
        f"settles ({4 * options.steps} steps, from the closed form and from random; mean of the last quarter), which "
        f"differ by at most {between:.2f} points. *Cross* means converged + {MARGIN} points.",
        "",
        f"- Ours, the sweep of all {len(bench.seams)} seams until the last of the {len(reached)} that cross: "
        f"{seconds:.1f} s (moments {first['moments']:.1f}, solving {first['solve']:.1f}, {max(reached, default=0)} "
        f"steps; median of {len(ours)}). The default {first['of']} steps end at most {worst:+.2f} points from "
        f"converged, which lies within the 95 % interval of ours (Wilson, not paired) at {agreeing} of "
        f"{len(bench.seams)} seams.",
        f"- The paper's recipe to the crossing, each of these {len(reached)} seams alone (a seam that does not "
        f"cross counts its {CAP} steps): {totals['paper']:.0f} s, **{totals['paper'] / seconds:.0f} times** ours; "
        f"its full schedule of {SCHEDULE:,} steps: {full:.0f} s, **{full / seconds:,.0f} times** ours.",
        f"- The recipe from our closed form: {totals['paper+']:.0f} s, "
        f"**{totals['paper+'] / seconds:.1f} times** ours.",
        f"- The same sweep again. {closed[0]}",
        f"- With every look at the validation split counted, on both sides, this sweep takes {looked:.1f} s, and the "
        f"recipe **{looking / looked:.0f} times** as long, each looked at as often, its activations below kept.",
        *others,
        f"- One shared step of the sweep: {shared:.3f} s, {shared / bare:.2f} of one bottom and the sum of its tails "
        f"({bare:.3f} s, the recipe's own steps, forward, backward and update in the usual memory layout).",
        "- The same step beside the bare passes it must do (one bottom forward, each tail forward and backward, in "
        "the sweep's own channels-last layout): "
        f"{counted_step['ours operations'] / counted_step['bare operations']:.3f} of their multiplications and "
        f"additions, as torch counts them, and {counted_step['ours seconds'] / counted_step['bare seconds']:.2f} of "
        f"their seconds ({counted_step['ours seconds']:.3f} and {counted_step['bare seconds']:.3f} s, turn by turn, "
        "median of 7).",
        "",
        "## How it was made",
        "",
        "```bash",
        "python benchmarks/sweep.py --bottom BOTTOM --top TOP --data parquet:DIR --work DIR --samples "
        f"{options.samples} --val {options.val} --seams {options.seams} --repeats {options.repeats}"
        + "".join(f" --other {given(fit)}" for fit in options.other)
        + (f" --device {options.device}" if options.device != "cpu" else ""),
        "```",
        "",
        f"Donors: {described(options.bottom)}, under {described(options.top)}. {bench.data.size('fit')} fit samples "
        "without augmentation. Decoding of images is not counted, on either side, nor are looks at the validation "
        "split, but where it says so; "
        f"ours looks every {LOOK} steps and, but where it says that streams are closed, never stops early, to see the "
        f"crossing. Ours is the median of {options.repeats} runs, the recipe was run once a seam. Steps of the recipe "
        f"(at most {CAP}) counted from our closed form at every seam, from random at {options.seams}; every other seam "
        f"takes those of the nearest one. It is looked at every {LOOK} steps up to {FitSpec().steps}, every {4 * LOOK} "
        f"from there on.{' ' if options.note else ''}{options.note} {hardware(bench.device)}, torch "
        f"{torch.__version__}; measured {days(bench.work)}.",
        "",
    ]
    return "\n".join(lines)


def total(counts: dict[str, int | None], going: list[str], cost: dict[str, float], seams: list[str]) -> float:
    """The recipe's seconds to the crossing, over the seams that are ``going``; ``cost``: of one step."""
    known = {seam: CAP if count is None else count for seam, count in counts.items()}
    return sum(known[nearest(seam, known, seams)] * cost[seam] for seam in going)


def factors(runs: list[Any], closing: list[Any], recipe: tuple[float, float], goal: dict[str, float]) -> str:
    """How many times as long the recipe takes as the shared sweep, and as one whose streams are closed."""
    last = max(crossing(runs[0]["history"][seam], goal[seam]) or 0 for seam in goal)
    start = statistics.median(run["moments"] + run["solve"] for run in runs)
    shared = statistics.median(run["moments"] + run["solve"] + last / run["of"] * run["steps"] for run in runs)
    closed = statistics.median(run["moments"] + run["solve"] + run["steps"] for run in closing)
    (paper, paper_plus), words = (recipe[0], recipe[1] + start), []
    for name, ours in (("shared", shared), ("with streams closed", closed)):
        words.append(f"{name} {paper / ours:.0f} times, and {paper_plus / ours:.1f} times from our closed form")
    return "; ".join(words)


def quicker(runs: list[Any], goal: dict[str, float], recipe: tuple[float, float], fit: dict[str, Any], n: int) -> str:
    """The same sweep with chosen fit options; ``recipe``: its seconds to the crossing, from random and our start."""
    history = runs[0]["history"]
    crossed = {seam: crossing(history[seam], goal[seam]) for seam in goal}
    last = max(step for step in crossed.values() if step is not None)
    start = statistics.median(run["moments"] + run["solve"] for run in runs)
    seconds = statistics.median(run["moments"] + run["solve"] + last / run["of"] * run["steps"] for run in runs)
    end = max(min(e for _, e in history[seam]) - (goal[seam] - MARGIN) for seam in goal)
    steps = ", ".join(f"{seam} {word(step)}" for seam, step in crossed.items())
    agreeing = sum(within(goal[seam] - MARGIN, min(e for _, e in history[seam]), n) for seam in goal)
    return (
        f"- Ours with {given(fit)}: {seconds:.1f} s (moments {runs[0]['moments']:.1f}, {last} steps; median of "
        f"{len(runs)}). The recipe to the crossing takes **{recipe[0] / seconds:.0f} times** as long, from our closed "
        f"form **{(recipe[1] + start) / seconds:.1f} times**. Steps to cross: {steps}. The best errors of "
        f"{runs[0]['of']} steps lie at most {end:+.2f} points from converged, within the interval at {agreeing} of "
        f"{len(goal)} seams."
    )


def each_closed(runs: list[Any], recipe: tuple[float, float], goal: dict[str, float]) -> str:
    """A sweep whose streams were closed where they crossed."""
    never = [seam for seam in goal if crossing(runs[0]["history"][seam], goal[seam]) is None]
    rest = f" ({', '.join(never)} took all steps here, and is left out of the recipe's time)" if never else ""
    start = statistics.median(run["moments"] + run["solve"] for run in runs)
    seconds = statistics.median(run["moments"] + run["solve"] + run["steps"] for run in runs)
    return (
        f"With each stream closed where it first crosses, as the recipe is stopped there: {seconds:.1f} s (median of "
        f"{len(runs)}){rest}; the recipe takes **{recipe[0] / seconds:.0f} times** as long, from our closed form "
        f"**{(recipe[1] + start) / seconds:.1f} times**."
    )


def given(fit: dict[str, Any]) -> str:
    return ",".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in fit.items())


def hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return (
            f"Seconds of the clock on one {machine(device)} (ours replays recorded steps there, the recipe "
            f"is plain PyTorch)"
        )
    return f"Processor seconds of one thread, {machine(device)}"


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}{' with AMX' if torch.cpu._is_amx_tile_supported() else ''}"


def described(folder: Path) -> str:
    card = load_donor(folder).card
    made = card["identity"]
    return (
        f"{made['net']} (seed {made['seed']}, {made['recipe']['steps']} steps in "
        f"{made['recipe']['precision']}, test error {card['test_error']:.1f} %)"
    )


def days(work: Path) -> str:
    """From when to when the pieces were measured."""
    found = sorted(date.fromtimestamp(path.stat().st_mtime).isoformat() for path in work.glob("*.json"))
    return found[0] if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def word(count: int | None) -> str:
    return "not reached" if count is None else str(count)
