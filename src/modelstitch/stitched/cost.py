"""What networks and stitched models cost to run: multiplications, parameters and the time of a batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import StitchError, StudyError
from ..network import Network
from ..report.front import Cost, Way, way_of
from ..stitchers import Site
from ..study.parts import End
from ..study.record import Record
from ..support.device import pick_device, to_device
from .blank import blank
from .exported import Run, running, write_program
from .stitched import Stitched

K = TypeVar("K")
WARM_UP = 3  # runs before the clock counts
_KINDS = ("onnx", "pt2")


class Runnable(NamedTuple):
    """A model, and how it, and its file where it has one, are called on a batch of the size that is timed."""

    model: nn.Module
    call: Callable[[], Any]
    file: Run | None = None


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
    in_file: dict[K, list[float]] = {key: [] for key in models}
    counted: dict[K, float] = {}
    with torch.inference_mode():
        for key, (_, call, _) in models.items():
            with FlopCounterMode(display=False) as counter:
                call()
            counted[key] = counter.get_total_flops() / 2 / batch_size  # it counts a multiplication and its sum as two
        for turn in range(WARM_UP + rounds):
            for key, (_, call, file) in models.items():
                for spent, run in ((seconds[key], call), (in_file[key], file)):
                    if run is not None:
                        took = _timed(run, device)
                        spent += [took] if turn >= WARM_UP else []
    return {
        key: Cost(
            counted[key],
            parameters_of(one.model),
            1000 * statistics.median(seconds[key]),
            1000 * statistics.median(in_file[key]) if in_file[key] else None,
        )
        for key, one in models.items()
    }


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call."""
    _wait(device)
    begun = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - begun


def parameters_of(model: nn.Module) -> int:
    """The learned numbers of a model, each once."""
    return sum(p.numel() for p in model.parameters())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def costs_of(
    records: Sequence[Record],
    networks: Sequence[Network],
    *,
    batch_size: int,
    rounds: int,
    device: str,
    exported: str | None = None,
) -> dict[Way, Cost]:
    """Measure what every stitch of these records costs, and every whole network beside them.

    Maps are not fitted: what they cost does not depend on their numbers.

    Args:
        records: of stitches.
        networks: the donors of all of them.
        batch_size: samples of a timed call.
        rounds: timed calls of each.
        device: "cpu", "cuda" or "auto".
        exported: "onnx" or "pt2": every model is written to a file, too, and the file is timed on the processor.

    Returns:
        The cost of each.

    Raises:
        StudyError: a donor is missing, or another one than was stitched; or a number is below 1.
        StitchError: a model cannot be exported, or is to be timed elsewhere than on the processor.
        MissingExtraError: a package for ``.onnx`` is missing.
    """
    for name, number in (("batch_size", batch_size), ("rounds", rounds)):
        if number < 1:
            raise StudyError(f"The option {name!r} is wrong: expected 1 or more, found {number}.")
    place, known = pick_device(device), donors_of(records, networks)
    if exported is not None and (exported not in _KINDS or place.type != "cpu"):
        raise StitchError(
            f"exported={exported!r} on {place.type} is no way to time a file: expected 'onnx' or 'pt2', on the "
            "processor (device='cpu')."
        )
    ways = ways_of(records)
    ends = {end.name: end for way in ways for end in way[:2]}
    inputs = {name: to_device(known[end.fingerprint].batch_of(batch_size), place) for name, end in sorted(ends.items())}
    models: dict[Way, Runnable] = {}
    with TemporaryDirectory() if exported else nullcontext("") as folder:
        for name, batch in inputs.items():
            network = known[ends[name].fingerprint]
            full = network.full().to(place)
            two, some = (network.batch_of(2),), (network.batch_of(batch_size),)
            file = _filed(_Called(full), two, some, folder, exported, name)
            models[End(name), End(name), "", ""] = Runnable(full, partial(full, batch), file)
        for way in ways:
            bottom, top, family, _ = way
            donors = known[bottom.fingerprint], known[top.fingerprint]
            model = _unfitted(donors[0], bottom.layer, donors[1], top.layer, family).to(place)
            two, some = (inputs_of(model, donors, n) for n in (2, batch_size))
            file = _filed(model, two, some, folder, exported, model.seam)
            call = partial(model.through, inputs[bottom.name], inputs[top.name], None)
            models[way] = Runnable(model, call, file)
        return measure_costs(models, batch_size, rounds, place)


class _Called(nn.Module):
    """A network as a module of one input by name, as torch exports it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        return self.model(x)


def _filed(
    model: nn.Module, two: tuple[Any, ...], inputs: tuple[Any, ...], folder: str, kind: str | None, name: str
) -> Run | None:
    """A call of the model's file on these inputs; None where no file is asked for."""
    if kind is None:
        return None
    path = Path(folder) / f"model.{kind}"
    write_program(model, two, path, name)
    return running(path, inputs)


def ways_of(records: Sequence[Record]) -> list[Way]:
    """The stitches that records are of, each once; controls are left out."""
    return list(dict.fromkeys(way for record in records if (way := way_of(record)) is not None))


def donors_of(records: Sequence[Record], networks: Sequence[Network]) -> dict[str, Network]:
    """The networks by their fingerprints.

    Raises:
        StudyError: one that was stitched is not among them.
    """
    known = {network.fingerprint(): network for network in networks}
    ends = {end.name: end for way in ways_of(records) for end in way[:2]}
    for name, end in ends.items():
        if end.fingerprint not in known:
            found = ", ".join(f"{n.name} ({digits})" for digits, n in known.items()) or "none"
            raise StudyError(
                "What stitches cost is measured with the networks that were stitched: expected one with the "
                f"fingerprint {end.fingerprint}, called {name}, found {found}."
            )
    return known


def inputs_of(stitched: Stitched, networks: tuple[Network, Network], n: int) -> tuple[Any, ...]:
    """What a stitched model is called with for n samples: the bottom's input, and the top's where it differs."""
    low, high = networks
    if stitched.top.needs_input or high.sample_shape != low.sample_shape:
        return low.batch_of(n), high.batch_of(n)
    return (low.batch_of(n),)


def _unfitted(bottom: Network, bottom_layer: str, top: Network, top_layer: str, family: str) -> Stitched:
    """The stitched model of a seam, its map as large as any of its family."""
    low, high = bottom.layer(bottom_layer), top.layer(top_layer)
    site = Site(low.channels, high.channels, high.kind)
    return Stitched(bottom, top, bottom_layer, top_layer, blank(family, site), family=family)
