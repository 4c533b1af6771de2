"""A stream: one seam with its stitcher, on its way from a bottom's activation to the top's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from ..moments.moments import Moments
from ..network import FromLayer, Network
from ..network.norms import Norm, own_statistics
from ..stitchers import Adapter, Site, Stitcher, adapter_between, mapped, masks
from .senders import Sender


@dataclass
class Stream:
    """One stitch in a sweep.

    Attributes:
        key: what the caller knows it by.
        bottom_layer, top_layer: the seam.
        family, options, objective, init: what is fitted and how.
        adapter: the parameter-free step before the map.
        site: channels and layout at the map.
        dtype: of the top's own activation.
        open_tail: gives the rest of the top, see ``tail``.
        norms: the tail's BatchNorm statistics, by module name, where the tail has its own.
        moments: of its activations on fit samples, once they are collected.
        stitcher: set once it is solved or started.
        history: (step, validation error, validation loss).
        stopped: why fitting ended.
        steps: the steps that led to the kept state.
        rate: the largest learning rate of the last stage; None where nothing was fitted.
        notes: what a record should say.
        failed: why there is nothing to measure; empty where all is well.
    """

    key: Any
    bottom_layer: str
    top_layer: str
    family: type[Stitcher]
    options: dict[str, Any]
    objective: str
    init: str
    adapter: Adapter
    site: Site
    open_tail: Callable[[], FromLayer]
    dtype: torch.dtype = torch.float32
    norms: dict[str, Norm] = field(default_factory=dict)
    moments: Moments | None = None
    stitcher: nn.Module | None = None
    history: list[tuple[int, float, float]] = field(default_factory=list)
    stopped: str = "closed form"
    steps: int = 0
    rate: float | None = None
    notes: list[str] = field(default_factory=list)
    failed: str = ""

    @cached_property
    def tail(self) -> FromLayer:
        """(activation, input) -> {OUTPUT: ..., later layers an objective asked for}; made where it is first used."""
        return self.open_tail()

    @property
    def seam(self) -> tuple[str, str]:
        """(bottom layer, top layer)."""
        return self.bottom_layer, self.top_layer

    def __str__(self) -> str:
        return f"{self.bottom_layer} -> {self.top_layer}"

    def stitched(self, activation: Tensor, mask: Tensor | None = None) -> Tensor:
        """The bottom's activation, adapted and mapped; mask, bool (n, t), marks the tokens of padded sequences."""
        assert self.stitcher is not None
        x: Tensor = self.adapter(activation, mask)
        if mask is None or not self._takes_statistics or not masks(mask, x, self.site.kind):
            return mapped(self.stitcher, x, self.dtype)
        mask = mask.to(x.device)
        found = mapped(self.stitcher, x[mask], self.dtype)  # padding must not enter the statistics of the batch
        whole: Tensor = found.new_zeros((*x.shape[:-1], found.shape[-1])).index_put((mask,), found)
        return whole

    @property
    def _takes_statistics(self) -> bool:
        return self.family.normalised and self.stitcher is not None and self.stitcher.training

    def forward(self, activation: Tensor, inputs: Any, mask: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """(stitched activation, {OUTPUT: ..., ...})."""
        stitched = self.stitched(activation, mask)
        return stitched, self.tail(stitched, inputs if self.tail.needs_input else None)


def open_stream(
    key: Any,
    sender: Sender,
    top: Network,
    bottom_layer: str,
    top_layer: str,
    *,
    family: type[Stitcher],
    options: dict[str, Any],
    objective: str,
    init: str,
    later: tuple[str, ...],
    device: torch.device,
    own: bool = False,
) -> Stream:
    """Check a seam and build its parts; ``own`` gives the tail BatchNorm statistics of its own.

    Raises:
        InexactCutError, UnknownLayerError: if the top cannot be cut there.
        ShapeError: if the two layers cannot be joined.
    """
    below, above = sender.layer(bottom_layer), top.layer(top_layer)
    top.cut(top_layer)
    adapter = adapter_between(below, above)
    site = Site(below.channels, above.channels, above.kind)
    stream = Stream(
        key,
        bottom_layer,
        top_layer,
        family,
        options,
        objective,
        init,
        adapter,
        site,
        lambda: top.onward(top_layer, later).to(device),
        above.dtype,
    )
    if own:
        tail = top.onward(top_layer, later)
        stream.norms = own_statistics(tail, top.module)
        stream.open_tail = partial(tail.to, device)
    return stream
