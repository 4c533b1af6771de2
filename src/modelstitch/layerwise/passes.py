"""One pass of the data through both networks: the rows of every layer of a block, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.data import Batch
from ..engine.senders import view_of
from ..errors import MeasureError
from ..network import CHANNEL_AXIS, Network
from ..network.passes import quick
from ..stitchers import channels_last, masked_mean, masks
from ..support.nonfinite import refuse
from ..support.progress import Tell
from .plan import Block, width

Batches = Callable[[int], Iterator[Batch]]
TakeRows = Callable[[Tensor, int, str, Batch], Any]
Pass = Callable[[Batch], dict[str, Any]]


class Rows:
    """Where rows come from: both networks, the layers of a block, a view, and batches of the same examples.

    Args:
        networks: (bottom, top).
        view: "pool" or "flatten".
        batches: from a batch size to one pass over the data.
        examples: how many there are, for progress.
    """

    def __init__(
        self,
        networks: tuple[Network, Network],
        view: str,
        device: torch.device,
        batches: Batches,
        examples: int,
        tell: Tell | None,
    ) -> None:
        self.networks, self.view, self.device = networks, view, device
        self.batches, self.examples, self.tell = batches, examples, tell

    def widths(self, block: Block) -> tuple[dict[str, int], dict[str, int]]:
        """{layer: features} of both sides."""
        bottom, top = (
            {name: width(network.layer(name), self.view) for name in names}
            for network, names in zip(self.networks, block)
        )
        return bottom, top

    def open(self, block: Block, take: TakeRows, *, apart: bool = False) -> tuple[Pass, Pass]:
        """For both networks, batch -> {layer: take(activation, side, layer, batch)}.

        Each activation is taken as soon as it is there, while it is still in the cache, and need not be held.

        Args:
            apart: what ``take`` returns shares no memory with the activation, which may then be overwritten.
        """
        return self._pass(0, block[0], take, apart), self._pass(1, block[1], take, apart)

    def _pass(self, side: int, names: Sequence[str], take: TakeRows, apart: bool) -> Pass:
        network = self.networks[side]
        running: list[Batch] = []
        module = quick(
            network, names, self.device, lambda name, value: take(value, side, name, running[0]), apart=apart
        )

        def run(batch: Batch) -> dict[str, Any]:
            running[:] = [batch]
            with torch.no_grad():
                found: dict[str, Any] = module(view_of(network, batch, self.device))
            return found

        return run

    def each(self, block: Block, size: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """{layer: rows} of both sides, batch by batch; features in the order of the layer's axes.

        Raises:
            NonFiniteError: NaN or infinity; the layer and the sample's id are named.
        """

        def take(value: Tensor, side: int, layer: str, batch: Batch) -> Tensor:
            rows = self.rows(value, side, layer, batch)
            if not bool(torch.isfinite(rows.sum())):
                self.refuse(rows, side, layer, batch)
            return rows

        below, above = self.open(block, take)
        done = 0
        for batch in self.batches(size):
            yield below(batch), above(batch)
            done += len(batch)
            self.told(done)

    def told(self, done: int) -> None:
        """Tell of progress."""
        if self.tell:
            self.tell(f"{self.networks[0].name} and {self.networks[1].name}", done, self.examples)

    def rows(self, value: Tensor, side: int, layer: str, batch: Batch, *, any_order: bool = False) -> Tensor:
        """The rows (n, features) of an activation; half precision becomes float32.

        Args:
            batch: whose samples these are; padding is left out of their means.
            any_order: features may come in whatever order memory holds them, the same for every batch.

        Raises:
            MeasureError: padded samples, and a view that cannot leave padding out.
        """
        value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        kind, mask = self.networks[side].layer(layer).kind, batch.mask
        padded = mask is not None and masks(mask, value, kind)
        if padded and self.view == "flatten":
            raise MeasureError(
                f"The samples at {self.networks[side].name}@{layer} are padded to one length: expected view='pool', "
                "which leaves padding out."
            )
        if self.view == "flatten" or kind == "vector":
            if any_order and value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last):
                value = value.permute(0, 2, 3, 1)
            return value.flatten(1)
        if mask is not None and padded:
            return masked_mean(channels_last(value, kind), mask)
        over, axis = (value.flatten(2), 2) if CHANNEL_AXIS[kind] == 1 else (value.flatten(1, -2), 1)
        mean = over.mean(axis, dtype=torch.float64)  # else nearly equal channels lose what tells them apart
        return mean.to(value.dtype)

    def refuse(self, rows: Tensor, side: int, layer: str, batch: Batch) -> None:
        """Raise if a row holds NaN or infinity."""
        refuse(self.networks[side].name, {layer: rows}, batch.ids)

    def where(self, bottom: str, top: str) -> str:
        """A pair of layers in words."""
        return f"{self.networks[0].name}@{bottom} and {self.networks[1].name}@{top}"
