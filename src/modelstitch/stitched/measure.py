"""Measuring a stitched model as it stands, on the test split."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..data.data import Data
from ..engine.alone import MATCHED, level, need_scores, notes_on
from ..engine.entry import check_entry
from ..engine.evaluate import Answer, own_outcomes
from ..engine.fit.options import FitSpec
from ..engine.senders import NetworkSender, view_of
from ..engine.sweep import Sweep
from ..errors import StitchError
from ..network import Network
from ..study.measured import beside_top, kept
from ..study.prepared import data_config
from ..study.record import Record
from ..support import hashing
from ..support.provenance import provenance

BATCH = 256


def of_map(stitcher: nn.Module) -> str:
    """A hash of a map's numbers, the same on any device and in any wider type: hex, 16 digits."""
    digest = hashing.Hash()
    for name, value in sorted(stitcher.state_dict().items()):
        digest.add(f"{name} {tuple(value.shape)} ", value.cpu().double())
    return digest.hex(16)


def measured(
    stitched: Any, bottom: Network | None, top: Network | None, data: Data, config: dict[str, Any], device: torch.device
) -> Record:
    """A record of what a stitched model does on the test split, beside its top: no cell of a study.

    Args:
        stitched: gives outputs for (the bottom's view, the top's view, mask).
        bottom, top: its donors, as far as they are there.
        config: what the record says of the stitch.
        device: where.

    Raises:
        DataError, NetworkError: if the data do not fit.
        StitchError: if the donors are not there.
    """
    if bottom is None or top is None:
        raise StitchError(
            "This stitched model has not its donors with it, since it was pickled or loaded without them: expected "
            "both, whose own "
            "errors a penalty is over; save it with .save() and load it with Stitched.load(folder, bottom, top)."
        )
    check_entry((bottom, top), data)
    need_scores(top, data)
    sweep = Sweep(NetworkSender(top), top, data.for_top(top, device), FitSpec(batch_size=BATCH // 2), device)
    this = f"the stitch into {top.name}"
    both: dict[str, Network | Answer] = {
        this: lambda batch: stitched.through(view_of(bottom, batch, device), view_of(top, batch, device), batch.mask),
        top.name: top,
    }
    found = own_outcomes(both, sweep, "test")
    outcome, own = found[this], found[top.name]
    return Record(
        "",
        {**config, "data": data_config(data)},
        **kept(beside_top(outcome, own, level(data, own)), outcome, own),
        history=(),
        notes=(*notes_on(top, own, data, MATCHED), "measured by hand, not by a fit"),
        provenance=provenance(device),
    )
