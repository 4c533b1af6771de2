"""Linear mode connectivity: the test error along the straight line between two networks' weights.

Three ways: as they are; with BatchNorm statistics estimated anew at each point; and that after the second network's
channels were matched to the first one's (Ainsworth, Hayase and Srinivasa, "Git Re-Basin", 2023).
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ...errors import NetworkError
from ...support.resume import Pieces
from ...zoo.train import error_rate
from ..figure import Model, Probe
from ..job import Job
from ..matching import match_channels
from .metric import metric

CALIBRATION = 1024
POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
WAYS = ("straight line", "statistics renewed", "channels matched, statistics renewed")


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """The points of the line, and how many samples renew the statistics."""
    return {"points": list(POINTS), "calibration": CALIBRATION}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """The test error at each point of each way, and how far above the line between the ends' errors."""
    first, second = (job.workshop.network(m) for m in models)
    one, other, view = first.module, second.module, first.view
    ends = dict.fromkeys(WAYS[:2], other)
    with contextlib.suppress(NetworkError):  # a module of somebody's own may be no chain
        ends[WAYS[2]] = _matched(one, other, view(job.workshop.example))
    results = []
    for number, (way, end) in enumerate(ends.items()):
        errors = []
        for at, share in enumerate(POINTS):
            module = between(one, end, share)
            if number and 0 < share < 1:
                seen = (b.inputs.cpu() for b in job.data.few("fit", CALIBRATION))
                update_bn(map(view, seen), module)
            module.to(job.device).eval()
            errors.append(error_rate(module, job.data, "test", device=job.device, view=view))
            if job.tell:
                job.tell(f"path, {way}", at + 1, len(POINTS))
        for at, (share, error) in enumerate(zip(POINTS, errors)):
            place = {"layer": f"{share:g}", "depth": share, "index": at}
            above = error - ((1 - share) * errors[0] + share * errors[-1])
            found = [metric("error", error, "percent"), metric("barrier", above, "points")]
            results.append({"bottom": place, "top": place, "family": way, "metrics": found})
    return results


def _matched(one: nn.Module, other: nn.Module, example: Tensor) -> nn.Module:
    """The second network with its channels in the first one's order.

    Raises:
        NetworkError: if it cannot be done: the parts are no chain in the order of their names.
    """
    matched = match_channels(one, other).eval()
    with torch.no_grad():
        before, after = other.eval()(example), matched(example)
    if not torch.allclose(before, after, rtol=1e-3, atol=1e-3):
        raise NetworkError("Channels cannot be matched: put in another order the network computes something else.")
    return matched


def between(one: nn.Module, other: nn.Module, share: float) -> nn.Module:
    """A network whose weights and statistics are (1 - share) of one's and share of the other's."""
    mixed = copy.deepcopy(one).eval()
    theirs = other.state_dict()
    state: dict[str, Tensor] = {
        name: (1 - share) * value + share * theirs[name] if value.is_floating_point() else value
        for name, value in one.state_dict().items()
    }
    mixed.load_state_dict(state)
    return mixed
