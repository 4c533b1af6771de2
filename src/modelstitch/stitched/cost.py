"""What networks and stitched models cost to run: multiplications, parameters and the time of a batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import StudyError
from ..network import Network
from ..report.front import Cost, Way, way_of
from ..stitchers import Site
from ..study.parts import End
from ..study.record import Record
from ..support.device import pick_device, to_device
from .blank import blank
from .stitched import Stitched

K = TypeVar("K")
WARM_UP = 3  # runs before the clock counts


class Runnable(NamedTuple):
    """A model, and how it is called on a batch of the size that is timed."""

    model: nn.Module
    call: Callable[[], Any]


def measure_costs(models: Mapping[K, Runnable], batch_size: int, rounds: int, device: torch.device) -> dict[K, Cost]:
    """Count and time models.

    In each round every model runs once, so that what else the machine does meanwhile meets all of them.

    Args:
        models: each with its call.
        batch_size: samples of a call.
        rounds: times that each is run.
        device: whose work is waited for.

    Returns:
        The cost of each.
    """
    seconds: dict[K, list[float]] = {key: [] for key in models}
    counted: dict[K, float] = {}
    with torch.inference_mode():
        for key, (_, call) in models.items():
            with FlopCounterMode(display=False) as counter:
                call()
            counted[key] = counter.get_total_flops() / 2 / batch_size  # it counts a multiplication and its sum as two
        for turn in range(WARM_UP + rounds):
            for key, (_, call) in models.items():
                _wait(device)
                begun = time.perf_counter()
                call()
                _wait(device)
                if turn >= WARM_UP:
                    seconds[key].append(time.perf_counter() - begun)
    return {
        key: Cost(counted[key], parameters_of(one.model), 1000 * statistics.median(seconds[key]))
        for key, one in models.items()
    }


def parameters_of(model: nn.Module) -> int:
    """The learned numbers of a model, each once."""
    return sum(p.numel() for p in model.parameters())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def costs_of(
    records: Sequence[Record], networks: Sequence[Network], *, batch_size: int, rounds: int, device: str
) -> dict[Way, Cost]:
    """Measure what every stitch of these records costs, and every whole network beside them.

    Maps are not fitted: what they cost does not depend on their numbers.

    Args:
        records: of stitches.
        networks: the donors of all of them.
        batch_size: samples of a timed call.
        rounds: timed calls of each.
        device: "cpu", "cuda" or "auto".

    Returns:
        The cost of each.

    Raises:
        StudyError: a donor is missing, or another one than was stitched; or a number is below 1.
    """
    for name, number in (("batch_size", batch_size), ("rounds", rounds)):
        if number < 1:
            raise StudyError(f"The option {name!r} is wrong: expected 1 or more, found {number}.")
    place, known = pick_device(device), {network.fingerprint(): network for network in networks}
    ways = dict.fromkeys(way for record in records if (way := way_of(record)) is not None)
    ends = {end.name: end for way in ways for end in way[:2]}
    for name, end in ends.items():
        if end.fingerprint not in known:
            found = ", ".join(f"{n.name} ({digits})" for digits, n in known.items()) or "none"
            raise StudyError(
                "What stitches cost is measured with the networks that were stitched: expected one with the "
                f"fingerprint {end.fingerprint}, called {name}, found {found}."
            )
    inputs = {name: to_device(known[end.fingerprint].batch_of(batch_size), place) for name, end in sorted(ends.items())}
    models: dict[Way, Runnable] = {}
    for name, batch in inputs.items():
        full = known[ends[name].fingerprint].full().to(place)
        models[End(name), End(name), "", ""] = Runnable(full, partial(full, batch))
    for way in ways:
        bottom, top, family, _ = way
        donors = known[bottom.fingerprint], known[top.fingerprint]
        model = _unfitted(donors[0], bottom.layer, donors[1], top.layer, family).to(place)
        models[way] = Runnable(model, partial(model.through, inputs[bottom.name], inputs[top.name], None))
    return measure_costs(models, batch_size, rounds, place)


def _unfitted(bottom: Network, bottom_layer: str, top: Network, top_layer: str, family: str) -> Stitched:
    """The stitched model of a seam, its map as large as any of its family."""
    low, high = bottom.layer(bottom_layer), top.layer(top_layer)
    site = Site(low.channels, high.channels, high.kind)
    return Stitched(bottom, top, bottom_layer, top_layer, blank(family, site), family=family)
