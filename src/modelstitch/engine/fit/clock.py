"""How long the parts of a fit take on this machine, from measured batches: for estimates, and for nothing else."""

from __future__ import annotations

import math
import time

import torch

from ...data.data import Data
from ...moments.moments import Moments
from ...network import Layer, Network
from ..senders import NetworkSender, open_quick
from .options import FitSpec

WARM, TIMED = 1, 2  # batches: to warm up, and measured
ROWS = 4096  # of a measured product


def forward_seconds(network: Network, data: Data, spec: FitSpec, device: torch.device) -> float:
    """Seconds that one fit sample takes: to be read, and to go through the whole network."""
    layer = network.cuts[-1]
    send = open_quick(NetworkSender(network), [layer], device)
    size = min(spec.batch_size, data.size("fit"))
    some = data.subset(data.size("fit") // size * size if data.size("fit") < 3 * size else 3 * size)
    augment = spec.augment and data.augment is not None
    marks = [_now(device)]
    with torch.no_grad():
        while len(marks) <= WARM + TIMED:
            for batch in some.batches("fit", size, seed=0, augment=augment):
                send(batch)
                marks.append(_now(device))
    return (marks[WARM + TIMED] - marks[WARM]) / (TIMED * size * (network.layer(layer).depth or 1.0))


def product_seconds(below: Layer, above: Layer, device: torch.device) -> float:
    """Seconds that the sums of one sample of a seam take."""
    sums = Moments.empty(below.channels, above.channels, device=device)
    marks = []
    for _ in range(1 + WARM):
        x, y = torch.randn(ROWS, below.channels, device=device), torch.randn(ROWS, above.channels, device=device)
        marks = [_now(device)]
        sums.update(x, y)
        marks.append(_now(device))
    return (marks[1] - marks[0]) / ROWS * math.prod(above.positions)


def through_tail(steps: int, batch: int, eval_every: int, val: int, test: int) -> float:
    """Forwards of one sample through a frozen tail that a fit of so many steps takes.

    Its steps, looks at validation, the test.

    A step is two forwards: to the output, and back to the map; none goes to the weights.
    """
    return 2 * steps * batch + (1 + steps // eval_every) * val + test


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
