"""A stitched model as one file that runs without this library, and a card beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..network import Network
from ..records.record import Record
from ..support import hashing
from ..support.files import write_atomic
from ..support.version import provenance
from .exported import engine_of, inputs_of, running, write_program
from .timing import Runnable, measure_costs

_ROUNDS = 15  # timed calls of a file


def export(stitched: Any, path: Path, networks: tuple[Network, Network], controls: Sequence[Record]) -> Path:
    """Write the file and its card: see ``Stitched.export``."""
    model = stitched.cpu()
    write_program(model, inputs_of(model, networks, 2), path, model.seam)
    card = card_of(model, controls) | {"cost": _cost(model, path, networks)}
    card |= {"file": path.name, "sha256": hashing.of_file(path)}
    write_atomic(card_path(path), (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def _cost(model: Any, path: Path, networks: tuple[Network, Network]) -> dict[str, Any]:
    """What one sample costs here, in the file and before."""
    inputs = inputs_of(model, networks, 1)
    one = Runnable(model, partial(model, *inputs), running(path, inputs))
    found = measure_costs({path: one}, 1, _ROUNDS, torch.device("cpu"))[path]
    threads = torch.get_num_threads()
    return {
        **found._asdict(),
        "batch": 1,
        "engine": f"{engine_of(path)}, threads: {threads}",
        "bytes": path.stat().st_size,
    }


def card_path(path: Path) -> Path:
    """Where the card of a file stands."""
    return path.with_name(path.name + ".json")


def card_of(stitched: Any, controls: Sequence[Record]) -> dict[str, Any]:
    """What a reader has to know of a stitch, as plain values.

    Args:
        stitched: measured.
        controls: records of controls; those of other seams are left out.
    """
    record = stitched.record
    assert record is not None
    here = [r for r in controls if r.control != "pair" and _is_of(r, record)]
    donors = {
        name: {"fingerprint": end.fingerprint, **facts._asdict()}
        for end in dict.fromkeys((record.bottom, record.top))
        for name, facts in (record.donors or {}).items()
        if name == end.name
    }
    return {
        "seam": stitched.seam,
        "family": record.family,
        "objective": record.objective,
        "map": {"digest": stitched._measured},
        "data": dict(record.data),
        "networks": donors,
        **{name: _number(record, name) for name in ("penalty", "error", "top_error")},
        "controls": {r.control: _number(r, "penalty") for r in here},
        "notes": list(record.notes),
        "made": dict(record.provenance) or provenance(torch.device("cpu")),
    }


def _is_of(control: Record, record: Record) -> bool:
    """Whether a control stands beside this stitch: the same top cut at the same layer, the same kind of map."""
    same = all(getattr(control.top, key) == getattr(record.top, key) for key in ("fingerprint", "layer"))
    fitted = (control.family, control.objective) == (record.family, record.objective)
    below = control.bottom.layer in ("", record.bottom.layer, record.top.layer)
    return same and below and (fitted or control.family == "identity")


def _number(record: Record, name: str) -> dict[str, Any] | None:
    metric = record.metric(name)
    if metric is None:
        return None
    interval = None if metric.low is None else [metric.low, metric.high]
    return {"value": metric.value, "interval": interval, "unit": metric.unit}
