"""docs/coverage.md, written from the records of a coverage run."""

from __future__ import annotations

import platform
import re
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

Record = dict[str, Any]

HEAD = """# Coverage

Which architectures are traced and cut exactly, measured: random weights, float32, one thread, CPU.

- **traced**: `torch.export` gives a graph with a free batch size.
- **cuts**: the listed exact cuts. Each is checked on another batch size (3) than the traced example (2): the segment
  from every cut to the next gives the next one's value, and the last one the output of the eager module, bit for bit;
  by induction that is `top(bottom(x))`. At four cuts spread over the depth `top(bottom(x))` itself is run too.
- **not stitched**: listed cuts that a stitcher cannot join to themselves. At each cut the activation has the listed
  shape, the adapter from the layer to itself leaves it bit for bit, and each sample's activation is what it is
  without another of its batch; at the first cut of each kind an affine map is solved, and the top run on what it
  gives.
- **blocks**: of the innermost repeated parts with two or more layers with weights, how many have an exact cut at
  their end or inside. Where one has none, the remark says what bypasses the first such block: in encoder-decoders,
  dense and branching networks. The rule also takes the repeated units inside the blocks of a few (GhostNet, Xception)
  for blocks.
- **unchanged**: the hash over parameters and buffers is the same afterwards.
- **seconds**: processor seconds of tracing, and of everything (building, tracing, checking).

timm models are built with fewer blocks where their constructor allows it, Hugging Face models from small configs, most
convolutional networks on small images: the operations are those of the full architecture.
"""


def ok(record: Record) -> bool:
    return bool(record["traced"] and not record["wrong"] and not record["unstitched"] and record["unchanged"])


def summary(records: list[Record]) -> str:
    """What the records say in a few lines."""
    traced = [r for r in records if r["traced"]]
    if not traced:
        return f"{len(records)} models, none traced"
    cuts = sum(r["cuts"] for r in traced)
    wrong = sum(len(r["wrong"]) for r in traced)
    unstitched = sum(len(r["unstitched"]) for r in traced)
    seconds = sorted(r["trace_seconds"] for r in traced)
    return (
        f"{len(traced)} of {len(records)} models traced; {cuts:,} exact cuts listed, {wrong} of them not exact, "
        f"{unstitched} not to be stitched; {sum(r['blocks_cut'] == r['blocks'] for r in traced)} have a cut at every "
        f"block; {sum(r['unchanged'] for r in traced)} of {len(traced)} unchanged by hash; tracing takes "
        f"{statistics.median(seconds):.1f} s in the median, {seconds[-1]:.1f} s at worst"
    )


def write_page(path: Path, table: list[Record], missing: int, strangers: list[Record]) -> None:
    """Write the page."""
    packages = ("torch", "torchvision", "timm", "transformers")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    lines = [HEAD]
    lines.append(
        f"`python benchmarks/coverage.py`, {time.strftime('%-d %B %Y')}, 2 CPU cores shared with other work "
        f"({platform.machine()}), Python {platform.python_version()}, {versions}, seed 0.\n"
    )
    lines.append(f"**{summary(table)}.**\n")
    if missing:
        lines.append(f"{missing} models of the table have no record yet: the same command measures them.\n")
    for group in dict.fromkeys(r["group"] for r in table):
        rows = [r for r in table if r["group"] == group]
        lines += [f"## {group}\n", f"{summary(rows)}.\n", *rows_of(rows), ""]
    if strangers:
        lines += [
            "## Architectures outside the table\n",
            f"`--stranger`: {summary(strangers)}.\n",
            *rows_of(strangers),
            "",
        ]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def rows_of(records: list[Record]) -> list[str]:
    """A Markdown table: what holds, and the cause of what does not."""
    rows = [
        "| model | traced | layers | cuts | blocks | not exact | not stitched | unchanged | trace s | all s | remark |"
    ]
    rows.append("|---|---|--:|--:|--:|--:|--:|---|--:|--:|---|")
    for r in records:
        name = r["name"].partition(":")[2]
        if not r["traced"]:
            rows.append(f"| {name} | **no** | | | | | | | | | {clean(r['cause'])} |")
            continue
        remark = r["cause"] or "; ".join(f"{cut}: {why}" for cut, why in r["unstitched"].items()) or r["why"]
        rows.append(
            f"| {name} | yes | {r['layers']} | {r['cuts']} | {r['blocks_cut']} of {r['blocks']} | {len(r['wrong'])} | "
            f"{len(r['unstitched'])} | {'yes' if r['unchanged'] else '**no**'} | {r['trace_seconds']:.1f} | "
            f"{r['seconds']:.0f} | {clean(remark)} |"
        )
    return rows


def clean(text: str) -> str:
    """A remark for a table's cell: short, and without the folders of the machine that it was made on."""
    text = re.sub(r"/\S*/(?:site|dist)-packages/", "", text)
    return text.replace("|", "/").replace("`", "'")[:160]
