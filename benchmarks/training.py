"""Steps of training beside a bare PyTorch loop of the same step.

    python benchmarks/training.py [--rounds 60] [--data parquet:DIR]

After every step of ``train``, drawing and augmenting its batch included, the bare loop takes one on a twin of the
network, on a batch that lies ready: forward, cross entropy, backward, a step of the same optimiser. So both meet the
same machine.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from side_by_side import Times, head, ratios, table, write
from torch.nn.functional import cross_entropy

import modelstitch as ms
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import Recipe, endless, train

NETS = {
    "preact-resnet18?width=8": {},
    "preact-resnet18?width=16": {},
    "resnet20?width=8": {},
    "myrtle?width=8": {},
    "vit?dim=64&depth=4&heads=2&patch=4": {"optimiser": "adamw", "lr": 2e-3},
}
WARM = 5  # rounds that are not counted


def rounds_of(net: str, special: dict[str, object], data: ms.Data, rounds: int) -> dict[str, Times]:
    """Seconds of every round: a step of ours, and a bare one."""
    recipe = Recipe(**{"steps": rounds + WARM, "lr": 0.1, "schedule": "one-cycle", "channels_last": True, **special})
    ours, bare = build(net, seed=0), build(net, seed=0).train().to(memory_format=torch.channels_last)
    kind = torch.optim.SGD if recipe.optimiser == "sgd" else torch.optim.AdamW
    more = {"momentum": recipe.momentum, "nesterov": True} if recipe.optimiser == "sgd" else {}
    optimiser = kind(bare.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, **more)
    batch = next(endless(data, recipe.batch_size, seed=0, augment=True))
    images, labels = batch.inputs.contiguous(memory_format=torch.channels_last), batch.labels
    found = {"bare": Times([], []), "ours": Times([], [])}
    began = [time.perf_counter(), time.process_time()]

    def note(name: str) -> None:
        found[name].clock.append(time.perf_counter() - began[0])
        found[name].processor.append(time.process_time() - began[1])
        began[:] = time.perf_counter(), time.process_time()

    def bare_step(done: int, loss: float) -> None:
        note("ours")
        optimiser.zero_grad(set_to_none=True)
        cross_entropy(bare(images), labels).backward()
        optimiser.step()
        note("bare")

    train(ours, data, recipe, progress=bare_step)
    return {name: Times(times.clock[WARM:], times.processor[WARM:]) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--data", default="parquet:data/cifar10")
    chosen = parser.parse_args()
    data = ms.load_data(chosen.data)
    torch.set_num_threads(1)
    rows = []
    for net, special in NETS.items():
        found = rounds_of(net, special, data, chosen.rounds)
        (_, _, *cells) = next(row for row in ratios(found, "bare") if row[0] == "ours")
        seconds = (f"{1000 * statistics.median(found[name].clock):.0f}" for name in ("bare", "ours"))
        rows.append((f"`{net}`", *seconds, *cells))
    write(
        "benchmark-training",
        "A step of training beside a bare PyTorch loop",
        [
            f"{chosen.rounds} steps of `train` on {data.name} (batches of 128, drawn and augmented), each followed by "
            "one of a bare loop on a batch that lies ready: forward, cross entropy, backward, a step of the same "
            "optimiser. Milliseconds are medians.",
            table(("", "bare, ms", "ours, ms", *head("bare")[2:]), rows),
        ],
    )


if __name__ == "__main__":
    main()
