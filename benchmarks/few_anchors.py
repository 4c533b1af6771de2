"""Stitches in closed form from few anchors, without labels: penalty by family, layer and number of anchors.

Two seeds of a plain network and two residual ones for CIFAR-10, digits networks trained without labels, and two small
language models. Where relative representations beat an affine map, example by example, and where not.

python benchmarks/few_anchors.py --data ../shared/data/cifar10 --networks ../shared/data/networks
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from side_by_side import table, write

import modelstitch as ms
from modelstitch.zoo.demo import NET
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.selfsup import SIMCLR_DIGITS
from modelstitch.zoo.train import SHORT_DIGITS

OWN = Path(__file__).parent.parent / "docs" / "results" / "paper" / "own"
AFFINE, RELATIVES = "affine", ("relative", "relative-whitened")
FAMILIES = (AFFINE, "orthogonal", "scaled-orthogonal", "l-ortho", *RELATIVES)
ANCHORS = [10, 30, 100, 1000]
SPREAD = 30  # anchors that are chosen in every way
TEST, CHUNKS = 1000, 400  # test images, and test chunks of text
CONTROLS = ("self", "random", "shuffled")
SEQUENCE, BATCH, STEPS = 32, 32, 1500  # of the language models


@dataclass(frozen=True)
class Case:
    """Two networks and where they are stitched."""

    bottom: ms.Network
    top: ms.Network
    data: ms.Data
    layers: list[str]
    said: str
    unit: str = "points"


def network(name: str, networks: Path) -> ms.Network:
    ref = tomllib.loads((OWN / "donors.toml").read_text())["donors"][name]
    view = ms.Normalise(ref["mean"], ref["std"])
    shape = (3, 32, 32)
    return ms.load(ref["model"], weights=networks / ref["weights"], input_shape=shape, name=name, view=view)


def images(data: str, networks: Path, limit: int) -> Iterator[Case]:
    found = ms.load_data(f"parquet:{data}", limit=limit).shorter(test=TEST)
    said = f"CIFAR-10, {found.size('test'):,} test images."
    plain, deep = (("tiny10-0", "tiny10-1"), ["bn2", "bn5", "bn8"]), (("resnet56", "resnet44"), ["layer3"])
    for names, layers in (plain, deep):
        yield Case(*(network(name, networks) for name in names), found, layers, said)


def digits() -> Iterator[Case]:
    data, recipes = ms.load_data("digits"), {"SimCLR A": (SIMCLR_DIGITS, 2), "SimCLR B": (SIMCLR_DIGITS, 3)}
    with tempfile.TemporaryDirectory() as folder:
        made = {
            name: donor(DonorSpec(NET, recipe, seed=seed, name=name), data, Path(folder))
            for name, (recipe, seed) in (recipes | {"labels": (SHORT_DIGITS, 0)}).items()
        }
    example = next(data.batches("val", 2)).inputs
    nets = {name: ms.Network(found.module, example, name, weights=found.weights) for name, found in made.items()}
    blocks = nets["labels"].blocks
    layers = [
        blocks[0],
        blocks[len(blocks) // 2],
        blocks[-2 if len(nets["labels"].layer(blocks[-1]).shape) < 3 else -1],
    ]
    said = f"scikit-learn's digits, {data.size('test'):,} test images; SimCLR under a linear classifier."
    for names in (("SimCLR A", "SimCLR B"), ("SimCLR A", "labels")):
        yield Case(*(nets[name] for name in names), data, layers, said)


def texts() -> Iterator[Case]:
    """Two seeds of a small GPT-2 over the pages of Python's own help."""
    import transformers as tf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    text = "\n".join(pydoc_data.topics.topics.values())
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    inner.train_from_iterator([text], trainers.BpeTrainer(vocab_size=512, special_tokens=["[PAD]"]))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "help.txt"
        corpus.write_text(text, encoding="utf-8")
        for seed in (0, 1):
            tf.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]").save_pretrained(f"{folder}/{seed}")
            torch.manual_seed(seed)
            size = {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": SEQUENCE, "vocab_size": 512}
            config = tf.GPT2Config(**size, pad_token_id=0, bos_token_id=None, eos_token_id=None)
            module = tf.GPT2LMHeadModel(config)
            if not seed:
                module.save_pretrained(f"{folder}/{seed}")
                blank = ms.load(f"hf:{folder}/0?size={SEQUENCE}")
                data = ms.load_data(f"text:{corpus}", tokenizer=blank).shorter(test=CHUNKS)
            taught(module, data, seed)
            module.eval().save_pretrained(f"{folder}/{seed}")
        nets = [ms.load(f"hf:{folder}/{seed}?size={SEQUENCE}", name=f"GPT-2 {'AB'[seed]}") for seed in (0, 1)]
    layers = ["transformer.h.0", "transformer.h.2", "transformer.h.3"]
    said = (
        f"Four blocks of 64 channels over the pages of Python's help, {STEPS:,} steps each; {data.size('test'):,} test "
        f"chunks of {SEQUENCE} tokens. An anchor is a chunk, each of its tokens a row."
    )
    yield Case(*nets, data, layers, said, "nats per token")


def taught(module: torch.nn.Module, data: ms.Data, seed: int) -> None:
    """Train a language model on the fit split."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, STEPS)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        batch = data.chosen("fit", torch.randint(data.size("fit"), (BATCH,), generator=generator))
        logits = module(batch.inputs["input_ids"]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()


def cell(rows: pl.DataFrame, digits: int = 1) -> str:
    if rows.is_empty() or rows["value"][0] is None:
        return ""
    value, low, high = rows.select("value", "low", "high").row(0)
    return f"{value:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def better(r: ms.Results, where: dict[str, object], digits: int) -> list[str]:
    """By how much each relative map is worse than the affine one, example by example."""

    def record(family: str) -> object:
        return next(
            one
            for one in r.records
            if one["config"]["family"] == family
            and one["config"]["control"] == "pair"
            and one["config"]["top"]["layer"] == where["layer"]
            and one.samples == where["anchors"]
        )

    found = []
    for family in RELATIVES:
        gap = ms.stats.paired_test(record(family), record(AFFINE)).difference
        text = f"{gap.value:+.{digits}f} [{gap.low:.{digits}f}, {gap.high:.{digits}f}]"
        found.append(f"**{text}**" if gap.high < 0 else text)
    return found


def of_case(case: Case, summary: list[tuple[str, ...]]) -> list[str]:
    numbers = sorted({min(n, case.data.size("fit")) for n in ANCHORS})
    asked = {"layers": case.layers, "family": FAMILIES, "objective": "match", "both": False, "device": "cpu"}
    digits = 1 if case.unit == "points" else 3
    r = ms.compare(case.bottom, case.top, data=case.data, controls=(), anchors=numbers, **asked)
    levels = ms.compare(case.bottom, case.top, data=case.data, controls=CONTROLS, anchors=numbers[-1], **asked)
    spread = {
        how: ms.compare(
            case.bottom, case.top, data=case.data, controls=(), anchors=SPREAD, anchors_by=how, **asked
        ).frame.filter(metric="penalty")
        for how in ("k-means", "farthest")
    }
    frame = pl.concat([r.frame, levels.frame.filter(pl.col("control") != "pair")]).filter(pl.col("metric") == "penalty")
    pair = f"{case.bottom.name} -> {case.top.name}"
    parts = [f"## {pair}", f"{case.said} Penalty in {case.unit}."]
    for layer in (case.top.layer(name).name for name in case.layers):
        here, body = frame.filter(top_layer=layer), []
        for control in ("pair", *CONTROLS):
            for n in numbers if control == "pair" else numbers[-1:]:
                rows = here.filter(control=control, samples=n)
                body.append((control, f"{n:,}", *(cell(rows.filter(family=f), digits) for f in FAMILIES)))
        for how, rows in spread.items():
            rows = rows.filter(top_layer=layer)
            body.append((how, str(SPREAD), *(cell(rows.filter(family=f), digits) for f in FAMILIES)))
        parts += [f"### {layer}", table(("", "anchors", *FAMILIES), body)]
        for n in numbers:
            gaps = better(r, {"layer": layer, "anchors": n}, digits)
            summary.append((f"{pair}, {layer}", case.unit, f"{n:,}", *gaps))
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1250, help="images of each part of CIFAR-10")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ms.models.register(OWN / "networks.py")
    parts: list[str] = []
    summary: list[tuple[str, ...]] = []
    for case in (*images(chosen.data, chosen.networks, chosen.limit), *digits(), *texts()):
        made = of_case(case, summary)
        print(*made, sep="\n\n", flush=True)
        parts += made
    won = sum("**" in gap for row in summary for gap in row[3:])
    write(
        "few-anchors",
        "Stitches in closed form from few anchors",
        [
            "Maps are solved from the activations of few fit samples, the anchors, drawn at random by seed 0 without "
            "labels (`anchors=[...]`, `objective='match'`); nothing is trained, and labels are read by the test alone. "
            "Every position of an anchor is a row. Intervals (95 %) are over test samples; a longer draw holds the "
            "shorter. *k-means* and *farthest* choose the anchors of a pair in another way. The penalty of a control "
            "is from the most anchors.",
            f"## Where a relative map beats an affine one\n\nPenalty of the relative map less that of the affine one, "
            f"over the same test samples; in bold where it is lower beyond its interval: {won} of {2 * len(summary)}.",
            table(("seam", "unit", "anchors", *RELATIVES), summary),
            *parts,
        ],
    )


if __name__ == "__main__":
    main()
