"""What every stitch of a study costs to run, and every whole network beside them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from ..errors import StitchError, StudyError
from ..network import Network
from ..records.record import End, Record
from ..report.front import Cost, Way, way_of
from ..stitchers import Site
from ..support.device import pick_device, to_device
from .exported import FileCall, inputs_of, running, write_program
from .maps import blank
from .stitched import Stitched
from .timing import Runnable, measure_costs

_KINDS = ("onnx", "pt2")


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
) -> FileCall | None:
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


def _unfitted(bottom: Network, bottom_layer: str, top: Network, top_layer: str, family: str) -> Stitched:
    """The stitched model of a seam, its map as large as any of its family."""
    low, high = bottom.layer(bottom_layer), top.layer(top_layer)
    site = Site(low.channels, high.channels, high.kind)
    return Stitched(bottom, top, bottom_layer, top_layer, blank(family, site), family=family)
