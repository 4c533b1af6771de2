"""A stitched model as one file that runs without this library, and a card beside it."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import StitchError, first_line
from ..network import Network
from ..study.record import Record
from ..support import hashing
from ..support.files import make_folder, write_atomic
from ..support.optional import need
from ..support.provenance import provenance

ENDINGS = (".onnx", ".pt2")


def export(stitched: Any, path: Path, networks: tuple[Network, Network], controls: Sequence[Record]) -> Path:
    """Write the file and its card: see ``Stitched.export``."""
    if path.suffix not in ENDINGS:
        raise StitchError(f"The file {path} has no known ending: expected {' or '.join(ENDINGS)}.")
    low, high = networks
    inputs: tuple[Any, ...] = (low.batch_of(2),)
    if stitched.top.needs_input or high.sample_shape != low.sample_shape:
        inputs = (*inputs, high.batch_of(2))
    if path.suffix == ".onnx":
        need("onnxscript")
    try:
        program = torch.export.export(stitched.cpu(), inputs, dynamic_shapes=_free_batch(inputs), strict=False)
        content = _onnx(program) if path.suffix == ".onnx" else _saved(program)
    except Exception as error:  # torch raises many kinds, its own among them
        raise StitchError(
            f"{stitched.seam} cannot be exported to {path.suffix} ({type(error).__name__}: {first_line(error)}): "
            f"expected operations that torch exports; try {' or '.join(e for e in ENDINGS if e != path.suffix)}, or "
            "keep it with .save(folder, whole=True)."
        ) from error
    make_folder(path.parent)
    write_atomic(path, content)
    card = card_of(stitched, controls) | {"file": path.name, "sha256": hashing.of_file(path)}
    write_atomic(card_path(path), (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
    return path


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


def _free_batch(inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The first dimension of what has two samples may be any."""
    free = {0: torch.export.Dim.AUTO}
    return dict(
        zip(
            ("x", "x_top"),
            pytree.tree_map(lambda leaf: free if isinstance(leaf, Tensor) and len(leaf) == 2 else None, inputs),
        )
    )


def _saved(program: torch.export.ExportedProgram) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()


def _onnx(program: torch.export.ExportedProgram) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(program, (), dynamo=True, verbose=False)
    assert made is not None
    content = io.BytesIO()
    need("onnx").save(made.model_proto, content)
    return content.getvalue()
