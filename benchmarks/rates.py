"""Whole sweeps at several learning rates: where they end, and how soon they are as good.

    python benchmarks/rates.py --pair BOTTOM TOP [--pair BOTTOM TOP ...] --data parquet:DIR --work DIR --write FILE

For every pair and setting one shared sweep with the defaults but for the rate: *as it is* (adapted to how near
the start is), the full rate, half and a quarter of it for every seam. *End* is the validation error at the last look,
its mean over seams; a seam has *crossed* at the first look that is within half a point of the lowest end of all
settings there. Runs are kept in --work as JSON; the same command again makes what is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from sweep import Bench
from sweep_page import MARGIN, crossing, days, described, machine

from modelstitch.engine.fit.options import FitSpec
from modelstitch.support.memory import keep_heap

EVERY = 10  # steps between looks
FULL = FitSpec().learning_rate
ADAM: dict[str, Any] = {"optimizer": "adam"}
SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": ADAM,
    "full": {**ADAM, "adapt_rate": False},
    "half": {**ADAM, "adapt_rate": False, "learning_rate": FULL / 2},
    "quarter": {**ADAM, "adapt_rate": False, "learning_rate": FULL / 4},
}


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    keep_heap()
    lines = [
        "# The learning rate, seam by seam",
        "",
        "| bottom | top | rate | end, mean over seams, % | seams that cross | steps to cross, mean | most above the "
        "best end |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in options.pair:
        options.bottom, options.top = pair
        bench = Bench(options)
        bench.stamp(**{key: str(getattr(options, key)) for key in ("samples", "val", "device", "precision")})
        lines += rows(bench, options)
    lines += [
        "",
        f"One sweep each, every block of the top, {options.samples} fit samples without augmentation, errors on "
        f"{options.val} validation samples, looked at every {EVERY} of {FitSpec().steps} steps; the rate {FULL:g} is "
        "of Adam in whitened coordinates for 64 channels, times 64/p for p. *As it is* adapts it to how near the "
        f"start is to the top's own error, down to a quarter. A seam crosses where it comes within {MARGIN} points of "
        "the lowest end that any of the rates has there; one that does not counts all its steps.",
        "",
        "```bash",
        "python benchmarks/rates.py "
        + " ".join(["--pair BOTTOM TOP"] * len(options.pair))
        + f" --data parquet:DIR --work DIR --samples {options.samples} --val {options.val} --precision "
        f"{options.precision}" + (f" --device {options.device}" if options.device != "cpu" else ""),
        "```",
        "",
        f"One {machine(torch.device(options.device))}, torch {torch.__version__}; measured {days(options.work)}. "
        f"{options.note}",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


def rows(bench: Bench, options: argparse.Namespace) -> list[str]:
    """One pair: a row a setting."""

    def measured(name: str) -> dict[str, list[tuple[int, float]]]:
        fit = {"precision": options.precision, **SETTINGS[name]}
        piece = f"{options.bottom.name}-{options.top.name}-{name.replace(' ', '-')}"
        history: dict[str, Any] = bench.piece(piece, lambda: bench.ours(FitSpec().steps, "closed", EVERY, **fit))[
            "history"
        ]
        return history

    found = {name: measured(name) for name in SETTINGS}
    lowest = {seam: min(history[seam][-1][1] for history in found.values()) for seam in bench.seams}
    lines = []
    for name, history in found.items():
        ends = {seam: history[seam][-1][1] for seam in bench.seams}
        crossed = [crossing(history[seam], lowest[seam] + MARGIN) for seam in bench.seams]
        steps = [FitSpec().steps if step is None else step for step in crossed]
        worst = max(bench.seams, key=lambda seam: ends[seam] - lowest[seam])
        lines.append(
            f"| {described(options.bottom)} | {described(options.top)} | {name} | {sum(ends.values()) / len(ends):.2f} "
            f"| {sum(step is not None for step in crossed)} of {len(crossed)} | {sum(steps) / len(steps):.0f} "
            f"| {ends[worst] - lowest[worst]:.1f} ({worst}) |"
        )
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, nargs=2, action="append", required=True, metavar=("BOTTOM", "TOP"))
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--val", type=int, default=2500)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--note", default="", help="what a reader must know of the donors or the choices, a sentence")
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
