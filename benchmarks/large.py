"""Two random Llamas in bfloat16: similarity and closed forms of all layers with all, and the memory that they take.

python benchmarks/large.py --folder runs/llamas
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from side_by_side import table, write
from tokenizers import Tokenizer, models

import modelstitch as ms

MEASURES = ["cka_linear_debiased", "cka_linear_biased", "cka_minibatch"]
BESIDE = 1.4e9  # bytes of the interpreter, torch, and a batch on its way, beside weights and stitches


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where the networks and activations lie; a temporary one if not said"
    )
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--hidden", type=int, default=8192)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--tokens", type=int, default=4, help="of a sample")
    parser.add_argument("--fit", type=int, default=48, help="samples")
    parser.add_argument("--test", type=int, default=4, help="samples")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--memory", type=float, help="gigabytes for stitches; what the limit leaves if not said")
    parser.add_argument("--resident", type=int, default=2, help="so many layers a side are stitched in memory, too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--make", action="store_true", help="make the networks, and nothing else")
    return parser.parse_args()


def made(folder: Path, seed: int, chosen: argparse.Namespace) -> Path:
    """The folder of a random Llama, as transformers keeps it."""
    target = folder / f"llama-{seed}"
    if not (target / "config.json").is_file():
        config = tf.LlamaConfig(
            vocab_size=chosen.vocabulary,
            hidden_size=chosen.width,
            intermediate_size=chosen.hidden,
            num_hidden_layers=chosen.layers,
            num_attention_heads=chosen.heads,
            num_key_value_heads=max(1, chosen.heads // 4),
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
        words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
        tf.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]").save_pretrained(target)
        torch.manual_seed(seed)
        tf.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(target)
    return target


def texts(chosen: argparse.Namespace) -> ms.Data:
    """Random tokens, each followed by the next."""
    generator = torch.Generator().manual_seed(0)

    def split(n: int) -> list[Any]:
        ids = torch.randint(chosen.vocabulary, (n, chosen.tokens), generator=generator)
        labels = torch.cat([ids[:, 1:], torch.full((n, 1), -100)], 1)
        return [({"input_ids": one}, other) for one, other in zip(ids, labels)]

    sizes = chosen.fit, chosen.test, chosen.test
    return ms.Data(*map(split, sizes), name="random tokens", task="next-token", n_classes=chosen.vocabulary)


def peak() -> int:
    """The most bytes that the process has held, weights that are mapped from their files among them."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f}"


def worst(one: ms.Results, other: ms.Results, metric: str | None, relative: bool = False) -> float:
    """The largest difference of a value that both have."""
    on = [c for c in one.frame.columns if c in ("measure", "bottom_layer", "top_layer", "metric")]
    frames = [r.frame if metric is None else r.frame.filter(metric=metric) for r in (one, other)]
    both = frames[0].select(*on, "value").join(frames[1].select(*on, "value"), on=on)
    assert both.height
    off = (both["value"] - both["value_right"]).abs()
    return float((off / both["value"].abs() if relative else off).max())  # type: ignore[arg-type]


def main() -> None:
    chosen = parsed()
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as held:
        folder = chosen.folder or Path(held)
        if chosen.make:
            for seed in (0, 1):
                made(folder, seed, chosen)
            return
        own = [*sys.argv[1:], "--make", *([] if chosen.folder else ["--folder", held])]
        subprocess.run([sys.executable, __file__, *own], check=True)  # a process whose memory is not counted
        paths = [made(folder, seed, chosen) for seed in (0, 1)]
        measured(chosen, folder, paths)


def measured(chosen: argparse.Namespace, folder: Path, paths: list[Path]) -> None:
    rows: list[tuple[str, ...]] = []
    began = time.monotonic()
    start = peak()

    def done(what: str) -> None:
        nonlocal began
        now = time.monotonic()
        rows.append((what, f"{now - began:.0f}", gigabytes(peak())))
        print(json.dumps(rows[-1]), flush=True)
        began = time.monotonic()

    below, above = (ms.load(f"hf:{path}?task=causal-lm&size={chosen.tokens}") for path in paths)
    assert below.dtype == above.dtype == torch.bfloat16
    weights = sum(p.numel() * p.element_size() for net in (below, above) for p in net.module.parameters())
    limit = 1.3 * weights + 2e9
    memory = chosen.memory or (limit - weights - BESIDE) / 1e9
    done("both loaded and traced")
    data, layers = texts(chosen), (below.blocks[-chosen.layers :], above.blocks[-chosen.layers :])
    alike: dict[str, Any] = {"data": data, "measures": MEASURES, "layers": layers, "split": "fit", "shuffles": 3}
    alike |= {"batch_size": chosen.batch}
    found = ms.similarity(
        below, above, **alike, available=max(10**7, int(memory * 1e9)), activations=folder / "activations"
    )
    done(f"similarity of {chosen.layers} x {chosen.layers} layers, {len(MEASURES)} measures, activations on disk")
    asked: dict[str, Any] = {"batch_size": chosen.batch, "augment": False}
    stitches = ms.matrix(
        below,
        above,
        data,
        layers=layers,
        memory=memory,
        activations=folder / "activations",
        out=folder / "cells",
        **asked,
    )
    done(f"closed forms of {chosen.layers} x {chosen.layers} layers, in blocks, activations on disk")
    most = peak()
    kept = sum(path.stat().st_size for path in (folder / "activations").rglob("*.safetensors"))
    resident = ms.similarity(below, above, **alike)
    done("the same similarity, resident")
    some = layers[0][:: max(1, chosen.layers // chosen.resident)][: chosen.resident]
    whole = ms.matrix(below, above, data, layers=(some, some), memory=20.0, **asked)
    done(f"{len(some)} x {len(some)} of these closed forms, resident")
    penalties = stitches.frame.filter(metric="penalty")
    off = {name: worst(whole, stitches, name) for name in ("penalty", "r2")}
    write(
        "large",
        "Large networks: memory and equality",
        [
            f"Two random Llamas of {weights / 4e9:.2f} billion parameters each ({chosen.layers} layers, width "
            f"{chosen.width}, vocabulary {chosen.vocabulary:,}), kept and run in bfloat16: {gigabytes(weights)} GB of "
            f"weights, made beforehand by another process. {chosen.fit} fit and {chosen.test} test samples of "
            f"{chosen.tokens} random tokens. Memory is the "
            "most that the process held until then, weights mapped from their files among them; it began with "
            f"{gigabytes(start)} GB.",
            table(("", "seconds", "peak, GB"), rows),
            f"Similarity and all {penalties.height} closed forms peaked at {gigabytes(most)} GB, where 1.3 times the "
            f"weights and 2 GB are {gigabytes(limit)} GB: {most / limit:.2f} of it. Activations on disk took "
            f"{gigabytes(kept)} GB.",
            f"Largest difference from the resident run: similarity {worst(found, resident, None):.1e}; of the "
            f"{len(some) ** 2} stitches that were made in memory, too, the penalty {off['penalty']:.1e} nats, "
            f"R2 {off['r2']:.1e}.",
        ],
    )


if __name__ == "__main__":
    main()
