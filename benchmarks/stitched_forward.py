"""A stitched model's forward against the same layers of both donors run eagerly: the ratio of medians, one run.

python benchmarks/stitched_forward.py
"""

import statistics
import time

import torch

import modelstitch as ms
from modelstitch.stitched import Stitched
from modelstitch.stitchers import Affine, Site
from modelstitch.zoo.nets import build

REPEATS, BATCH = 15, 64


def main() -> None:
    x = torch.randn(BATCH, 3, 32, 32)
    one, two = (build("preact-resnet18?width=16", seed=seed).eval() for seed in (0, 1))
    bottom, top = ms.Network(one, x[:2], "one"), ms.Network(two, x[:2], "two")
    for layer in ("block2", "block4", "block6"):
        channels = bottom.layer(layer).channels
        stitcher = Affine(Site(channels, channels, "map"), torch.eye(channels))
        stitched = Stitched(bottom, top, layer, layer, stitcher, family="affine")
        at = [name for name, _ in one.named_children()].index(layer) + 1
        eager = torch.nn.Sequential(*list(one)[:at], stitcher, *list(two)[at:]).eval()
        with torch.no_grad():
            assert torch.equal(stitched(x), eager(x))
            times: dict[str, list[float]] = {"stitched": [], "eager": []}
            for _ in range(REPEATS + 3):
                for name, model in (("stitched", stitched), ("eager", eager)):
                    start = time.perf_counter()
                    model(x)
                    times[name].append(time.perf_counter() - start)
        ratio = statistics.median(times["stitched"][3:]) / statistics.median(times["eager"][3:])
        print(f"{layer}: stitched / eager = {ratio:.3f}, outputs equal bit for bit")


if __name__ == "__main__":
    main()
