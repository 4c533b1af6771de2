"""Measuring a stitched model as it stands, on the test split."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.data import Data
from ..engine.alone import MATCHED, level, need_scores, notes_on
from ..engine.entry import check_entry
from ..engine.evaluate import Answer, own_outcomes
from ..engine.fit.options import FitSpec
from ..engine.joined import Joined
from ..engine.measure import Estimate
from ..engine.senders import NetworkSender, view_of
from ..engine.sweep import Sweep
from ..errors import StitchError
from ..moments.moments import Moments
from ..network import Network
from ..records.record import Record
from ..stitchers import rows
from ..study.prepared import data_config
from ..study.sweeps.measured import beside_top, kept
from ..support import hashing
from ..support.version import provenance

BATCH = 256


def of_map(stitcher: nn.Module) -> str:
    """A hash of a map's numbers, the same on any device and in any wider type: hex, 16 digits."""
    digest = hashing.Hash()
    for name, value in sorted(stitcher.state_dict().items()):
        digest.add(f"{name} {tuple(value.shape)} ", value.cpu().double())
    return digest.hex(16)


class _Variance:
    """How much of a top's own activation the stitched one explains, from sums over all positions.

    Args:
        stitched: a model of parts, whose top is run once for each batch.
        top: the network.
        layer: of the top, where the map ends.
    """

    def __init__(self, stitched: Joined, top: Network, layer: str, device: torch.device) -> None:
        self._own, self._kind, self._device = top.bottom(layer).to(device), top.layer(layer).kind, device
        self._top, self._network = stitched.top, top
        self._off, self._sums = 0.0, Moments.empty(top.layer(layer).channels, 0)

    def watching(self, run: Answer) -> Answer:
        """The same, and each batch is counted."""

        def answer(batch: Batch) -> Tensor:
            met: list[Tensor] = []
            hook = self._top.register_forward_pre_hook(lambda _, given: met.append(given[0]))
            try:
                output = run(batch)
            finally:
                hook.remove()
            with torch.no_grad():
                genuine = self._own(view_of(self._network, batch, self._device))
            s, y = (rows(value.double().cpu(), self._kind, batch.mask) for value in (met[0], genuine))
            self._off += float((s - y).square().sum())
            self._sums.update(y, y[:, :0])
            return output

        return answer

    def found(self) -> dict[str, Estimate]:
        """By name; nothing where the top's own activation does not vary."""
        spread = float(self._sums.xx.diagonal().sum())
        if not spread > 0:
            return {}
        return {"relative_mse": Estimate(self._off / spread), "r2": Estimate(1.0 - self._off / spread)}


def measured(
    stitched: Any,
    bottom: Network | None,
    top: Network | None,
    data: Data,
    config: dict[str, Any],
    device: torch.device,
    *,
    layer: str | None = None,
) -> Record:
    """A record of what a stitched model does on the test split, beside its top: no cell of a study.

    Args:
        stitched: gives outputs for (the bottom's view, the top's view, mask).
        bottom, top: its donors, as far as they are there.
        config: what the record says of the stitch.
        device: where.
        layer: of the top, whose own activation the stitched one is held against, too; None of none.

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
    near = None if layer is None else _Variance(stitched, top, layer, device)
    if near is not None:
        both[this] = near.watching(both[this])
    found = own_outcomes(both, sweep, "test")
    outcome, own = found[this], found[top.name]
    return Record(
        "",
        {**config, "data": data_config(data)},
        **kept(beside_top(outcome, own, level(data, own)) | ({} if near is None else near.found()), outcome, own),
        history=(),
        notes=(*notes_on(top, own, data, MATCHED), "measured by hand, not by a fit"),
        provenance=provenance(device),
    )
