"""A stitched model's forward against the same layers of both donors run eagerly, side by side in one process.

    python benchmarks/stitched_forward.py [--rounds 20]

Each round runs both, in turns first, on one thread; the figure is the median of the rounds' ratios, with its quartiles.
The heap is kept, as on the command line: otherwise the C library gives memory back between layers, and either model
pays for fresh pages, by the luck of its heap.
"""

import argparse
import statistics
import time

import torch
from torch import nn

import modelstitch as ms
from modelstitch.stitched.stitched import Stitched
from modelstitch.stitchers import Affine, Site
from modelstitch.support.memory import keep_heap
from modelstitch.zoo.nets import build

BATCH, CALLS = 64, 3
CASES = [
    ("preact-resnet18?width=16", ("block2", "block4", "block6")),
    ("resnet20", ("block3", "block6")),
    ("vgg11?width=16", ("block2",)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    kept = keep_heap()
    print(f"torch {torch.__version__}, 1 thread, batch {BATCH}, {rounds} rounds, heap kept: {kept}")
    for spec, layers in CASES:
        for layer in layers:
            stitched, eager = pair(spec, layer)
            low, middle, high = statistics.quantiles(ratios(stitched, eager, rounds), n=4)
            print(
                f"{spec} @ {layer}: stitched / eager = {middle:.3f} (quartiles {low:.3f}-{high:.3f}), equal bit for bit"
            )


def pair(spec: str, layer: str) -> tuple[nn.Module, nn.Module]:
    """The stitched model, and the same layers written as a plain chain of the donors' own modules."""
    x = torch.randn(2, 3, 32, 32)
    one, two = (build(spec, seed=seed).eval() for seed in (0, 1))
    bottom, top = ms.Network(one, x, "one"), ms.Network(two, x, "two")
    channels = bottom.layer(layer).channels
    stitcher = Affine(Site(channels, channels, "map"), torch.eye(channels))
    at = [name for name, _ in one.named_children()].index(layer) + 1
    eager = nn.Sequential(*list(one)[:at], stitcher, *list(two)[at:]).eval()
    return Stitched(bottom, top, layer, layer, stitcher, family="affine"), eager


@torch.no_grad()
def ratios(stitched: nn.Module, eager: nn.Module, rounds: int) -> list[float]:
    x = torch.randn(BATCH, 3, 32, 32)
    assert torch.equal(stitched(x), eager(x))
    found = []
    for turn in range(rounds + 1):
        order = (stitched, eager) if turn % 2 else (eager, stitched)
        seconds = {model: timed(model, x) for model in order}
        found.append(seconds[stitched] / seconds[eager])
    return found[1:]


def timed(model: nn.Module, x: torch.Tensor) -> float:
    """Processor seconds of this thread, which other work on the machine does not stretch; the first call warms up."""
    model(x)
    start = time.thread_time()
    for _ in range(CALLS):
        model(x)
    return time.thread_time() - start


if __name__ == "__main__":
    main()
