"""One pass of the data through all networks: the rows of every layer, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch
from ..engine.activations import Shelved
from ..engine.senders import NetworkSender, view_of
from ..errors import MeasureError
from ..network import CHANNEL_AXIS, Network
from ..network.nonfinite import refuse
from ..network.passes import quick
from ..stitchers import channels_last, masked_mean, masks
from ..support.memory import out_of_memory
from ..support.progress import Tell
from .meeting import LayerKey, Meeting
from .plan import width

Batches = Callable[[int], Iterator[Batch]]
TakeRows = Callable[[Tensor, LayerKey, Batch], Any]
Pass = Callable[[Batch], dict[LayerKey, Any]]


class FailedNetworkError(Exception):
    """What one network raised on a batch; those beside it may go on."""

    def __init__(self, name: str, why: Exception) -> None:
        super().__init__(name)
        self.name, self.why = name, why


class Rows:
    """Where rows come from: networks, their layers, a view, and batches of the same examples.

    Args:
        meeting: the networks and their layers.
        view: "pool" or "flatten".
        batches: from a batch size to one pass over the data.
        examples: how many there are, for progress.
    """

    def __init__(
        self,
        meeting: Meeting,
        view: str,
        device: torch.device,
        batches: Batches,
        examples: int,
        tell: Tell | None,
    ) -> None:
        self.meeting, self.view, self.device = meeting, view, device
        self.places = meeting.places
        self.batches, self.examples, self.tell = batches, examples, tell
        self._kept: list[dict[LayerKey, Tensor]] = []

    def widths(self, keys: Iterable[LayerKey]) -> dict[LayerKey, int]:
        """{layer: features}."""
        return {key: width(self.places[key][1], self.view) for key in keys}

    def open(self, keys: Iterable[LayerKey], take: TakeRows, *, apart: bool = False) -> Pass:
        """Batch -> {layer: take(activation, layer, batch)}; every network runs once.

        Each activation is taken as soon as it is there, while it is still in the cache, and need not be held.

        Args:
            keys: the layers; one that is named twice is taken once.
            apart: what ``take`` returns shares no memory with the activation, which may then be overwritten.
        """
        own: dict[str, list[LayerKey]] = {}
        for key in dict.fromkeys(keys):
            own.setdefault(self.places[key][0].name, []).append(key)
        passes = [self._pass(self.meeting.networks[name], some, take, apart) for name, some in own.items()]

        def run(batch: Batch) -> dict[LayerKey, Any]:
            return {key: value for one in passes for key, value in one(batch).items()}

        return run

    def _pass(self, network: Network, keys: Sequence[LayerKey], take: TakeRows, apart: bool) -> Pass:
        running: list[Batch] = []
        of = {self.places[key][1].name: key for key in keys}

        def taken(name: str, value: Tensor) -> Any:
            return take(value, of[name], running[0])

        if isinstance(network, Shelved):
            send = NetworkSender(network).open(list(of), self.device)

            def forward(batch: Batch) -> dict[str, Any]:
                return {name: taken(name, value) for name, value in send(batch).items()}
        else:
            module = quick(network, list(of), self.device, taken, apart=apart)

            def forward(batch: Batch) -> dict[str, Any]:
                found: dict[str, Any] = module(view_of(network, batch, self.device))
                return found

        def run(batch: Batch) -> dict[LayerKey, Any]:
            running[:] = [batch]
            try:
                with torch.no_grad():
                    found = forward(batch)
            except Exception as error:
                if out_of_memory(error):
                    raise
                raise FailedNetworkError(network.name, error) from error
            return {of[name]: value for name, value in found.items()}

        return run

    def keep(self, keys: Iterable[LayerKey], size: int) -> None:
        """Run the networks now and keep all rows: every ``each`` from here on reads them."""
        self._kept = list(self._run(keys, size))

    def forget(self) -> None:
        """Keep no rows any more."""
        self._kept = []

    def each(self, keys: Iterable[LayerKey], size: int) -> Iterator[dict[LayerKey, Tensor]]:
        """{layer: rows}, batch by batch; features in the order of the layer's axes.

        Raises:
            FailedNetworkError: of NaN or infinity, too; the layer and the sample's id are named.
        """
        if self._kept:
            chosen = list(dict.fromkeys(keys))
            return ({key: rows[key] for key in chosen} for rows in self._kept)
        return self._run(keys, size)

    def _run(self, keys: Iterable[LayerKey], size: int) -> Iterator[dict[LayerKey, Tensor]]:
        def take(value: Tensor, key: LayerKey, batch: Batch) -> Tensor:
            rows = self.rows(value, key, batch)
            if not bool(torch.isfinite(rows.sum())):
                self.refuse(rows, key, batch)
            return rows

        run = self.open(keys, take)
        done = 0
        for batch in self.batches(size):
            yield run(batch)
            done += len(batch)
            self.told(done)

    def told(self, done: int) -> None:
        """Tell of progress."""
        if self.tell:
            self.tell(self.meeting.in_words(), done, self.examples)

    def rows(self, value: Tensor, key: LayerKey, batch: Batch, *, any_order: bool = False) -> Tensor:
        """The rows (n, features) of an activation; half precision becomes float32.

        Args:
            batch: whose samples these are; padding is left out of their means.
            any_order: features may come in whatever order memory holds them, the same for every batch.

        Raises:
            MeasureError: padded samples, and a view that cannot leave padding out.
        """
        value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        kind, mask = self.places[key][1].kind, batch.mask
        padded = mask is not None and masks(mask, value, kind)
        if padded and self.view == "flatten":
            raise MeasureError(
                f"The samples at {key} are padded to one length: expected view='pool', which leaves padding out."
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

    def refuse(self, rows: Tensor, key: LayerKey, batch: Batch) -> None:
        """Raise if a row holds NaN or infinity."""
        network, layer = self.places[key]
        refuse(network.name, {layer.name: rows}, batch.ids)
