"""What a fit is said to take beforehand, beside what its tensors took at most, and what the process held.

    python benchmarks/memory.py [--cases NAME,NAME] [--steps N] [--samples N] [--work DIR]

Each case is a `compare` one way without controls, in a fresh process: networks are made and data lie in memory, then
a batch goes forward and back through the top, so that libraries have what they keep. Stated is what the plan says
(`--dry-run`): stitches, and one batch's way. Tensors is the most that tensors made by the fit held at a time, counted
while it ran. The process's own is the largest resident size while it ran, less what it held before: freed memory that
the C library keeps counts there, and so do pages of libraries that are first used.

What is in --work already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from side_by_side import table, write
from torch import nn

import modelstitch as ms
from modelstitch.api import plan_compare
from modelstitch.data.subsets import Images
from modelstitch.support.footprint import Footprint
from modelstitch.zoo.nets import build

VIT = "vit?dim=192&depth=6&heads=3&patch=4&size=32"
CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    # network below, above, seams, what else is asked for
    "resnet20-128": ("resnet20", "resnet20", "block3,block6,block9", {}),
    "resnet20-256": ("resnet20", "resnet20", "block3,block6,block9", {"batch_size": 256}),
    "resnet20-all-32": ("resnet20", "resnet20", "", {"batch_size": 32}),
    "resnet56-32": ("resnet56", "resnet20", "block9>block3,block18>block6", {"batch_size": 32}),
    "resnet18-16": ("preact-resnet18", "preact-resnet18", "block2,block6", {"batch_size": 16}),
    "vit-128": (VIT, VIT, "blocks.0,blocks.2,blocks.4", {}),
    "vit-all-32": (VIT, VIT, "", {"batch_size": 32}),
    "match": ("resnet20", "resnet20", "block3,block6,block9", {"objective": "match"}),
    "tiny": ("resnet20?width=2", "resnet20?width=2", "block3,block9", {"batch_size": 16}),
}


def resident(what: str) -> int:
    """Bytes that this process holds (VmRSS), or the most that it has held (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def measured(name: str, steps: int, samples: int) -> dict[str, int]:
    """What one case is said to take, and took."""
    torch.set_num_threads(1)
    below, above, seams, options = CASES[name]
    generator = torch.Generator().manual_seed(0)

    def split(n: int) -> Images:
        return Images(torch.rand(n, 3, 32, 32, generator=generator), torch.randint(10, (n,), generator=generator))

    data = ms.Data(split(samples), split(samples), split(samples), n_classes=10)
    example = next(data.batches("val", 2)).inputs
    one, two = (ms.Network(build(net, seed=i), example, "bt"[i]) for i, net in enumerate((below, above)))
    batch = next(data.batches("fit", options.get("batch_size", 128))).inputs
    _through(two.module, batch[:2])
    asked: dict[str, Any] = {"controls": (), "both": False, "device": "cpu", "augment": False}
    asked |= {"steps": steps, "eval_every": max(1, steps // 2), "stop_early": False, **options}
    if seams:
        asked["layers"] = [(low, high or low) for low, _, high in (part.partition(">") for part in seams.split(","))]
    needs = plan_compare(one, two, data, **asked)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the most begins anew
    base, held = resident("VmRSS"), Footprint()
    with held:
        ms.compare(one, two, data, **asked)
    return {"stated": needs.memory, "way": needs.way, "tensors": held.most, "process": resident("VmHWM") - base}


def _through(module: nn.Module, batch: torch.Tensor) -> None:
    x = batch.clone().requires_grad_(True)
    module(x).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(name for name in CASES if name != "tiny"))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--samples", type=int, default=520)
    parser.add_argument("--work", type=Path, help="folder of what was measured")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one, given.steps, given.samples)))
        return
    rows = []
    for name in given.cases.split(","):
        kept = given.work / f"{name}.json" if given.work else None
        if kept is None or not kept.is_file():
            command = [
                sys.executable,
                __file__,
                "--one",
                name,
                "--steps",
                f"{given.steps}",
                "--samples",
                f"{given.samples}",
            ]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(said, encoding="utf-8")
        found = json.loads(said if kept is None else kept.read_text(encoding="utf-8"))
        stated = found["stated"] + found["way"]
        sizes = (f"{found[key] / 1e6:,.0f}" for key in ("stated", "way", "tensors"))
        whole = f"{found['process'] / 1e6:,.0f}", f"{found['process'] / stated:.2f}"
        rows.append((name, *sizes, f"{found['tensors'] / stated:.2f}", *whole))
        print(rows[-1], flush=True)
    columns = ("stitches, MB", "one batch's way, MB", "tensors, MB", "tensors / stated", "process, MB", "/ stated")
    about = (__doc__ or "").split("\n\n")[2]
    write("memory", "The memory of a fit, stated and seen", [about, table(("case", *columns), rows)])


if __name__ == "__main__":
    main()
