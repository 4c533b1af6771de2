"""What the fitting of one sweep has in common: who sends, who receives, on which data, how, and from which seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.data import Data
from ..moments.moments import Moments
from ..moments.null import derangement
from ..network import FromLayer, Network
from ..network.norms import Norm, own_statistics
from ..stitchers import Adapter, Site, Stitcher, adapter_between, mapped, masks
from ..support import hashing
from .fit.objectives import Loss
from .fit.options import FitSpec
from .senders import Sender

Tick = Callable[[int], None]
Watch = Callable[[Any, int, dict[str, float]], None]  # the stream's key, step, {"val/error": ..., ...}

MEMORY = 2_000_000_000  # bytes
PIECE = (
    32  # examples that are summed at once on a CPU: what a network leaves of them is still near when it is multiplied
)


@dataclass(frozen=True)
class Sweep:
    """One sweep.

    Attributes:
        sender: where bottom activations come from.
        top: the network that receives them.
        data: what to fit, choose and measure on; already reduced to ``spec.samples``.
        spec: how to fit.
        device: where.
        seed: of orders, augmentation and random starts.
        shuffled: pair each sample with another one's top activation, output and label: the null level.
        normalisation: "frozen", "recalibrated" or "batch"; see ``modelstitch.engine.fit.normalisation``.
        spare: bytes that kept validation activations, and streams that run through the top side by side, may take: what
            the streams leave of the budget.
        own: the user's own losses by name.
        tick: hears how many more units of work are done.
        watch: hears of every look at the validation split.
        enough: of a control, the penalty beyond which it has said what it is for, and the share of its penalty that the
            steps left may then still gain; None where a fit is always to end as well as it can.
    """

    sender: Sender
    top: Network
    data: Data
    spec: FitSpec
    device: torch.device
    seed: int = 0
    shuffled: bool = False
    normalisation: str = "frozen"
    spare: int = MEMORY
    own: Mapping[str, Loss] = field(default_factory=dict)
    tick: Tick | None = None
    watch: Watch | None = None
    enough: tuple[float, float] | None = None

    def done(self, amount: int) -> None:
        """Tell of work done."""
        if self.tick:
            self.tick(amount)

    def batches(self, *purpose: str, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """One pass over the fit split, or a share of it, shuffled and augmented by a seed of its own for each purpose.

        A last batch of one sample is left out where there are others: nothing can be normalised over it.
        """
        augment = self.spec.augment and self.data.augment is not None
        seed = derive(self.seed, *purpose)
        for batch in self.data.batches("fit", self.spec.batch_size, seed=seed, augment=augment, share=share):
            if len(batch) > 1 or self.spec.batch_size == 1 or self.data.size("fit") == 1:
                yield batch

    def halved(self) -> Sweep:
        """The same with half the batch size."""
        return replace(self, spec=self.spec.model_copy(update={"batch_size": max(1, self.spec.batch_size // 2)}))


def pieces(batch: Batch, device: torch.device) -> Iterator[Batch]:
    """A batch as sums take it: whole on a GPU, in pieces on a CPU; only for what no sample's neighbours decide."""
    return batch.pieces(len(batch) if device.type == "cuda" else PIECE)


def derive(seed: int, *purpose: str) -> int:
    """A seed of its own for each purpose, the same in every run."""
    return hashing.number("/".join([str(seed), *purpose]))


def shuffle(n: int, batch: Batch, seed: int) -> torch.Tensor:
    """A permutation of a batch without fixed points, if it has two samples or more: a random cyclic order."""
    return derangement(n, torch.Generator().manual_seed(derive(seed, "shuffle", str(int(batch.ids[0])))))


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
        kept: validation error and loss of the kept state; None where nothing was fitted.
        behind: by how much that errs more than the top alone; None where nobody asks.
        hopeless: of a control, whether looks show that it is so far off that another start will not mend it.
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
    kept: tuple[float, float] | None = None
    behind: float | None = None
    hopeless: bool = False
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
        lambda: top.ready(top.onward, top_layer, later, device=device),
        above.dtype,
    )
    if own:
        tail = top.onward(top_layer, later)
        stream.norms = own_statistics(tail, top.module)
        stream.open_tail = partial(tail.to, device)
    return stream
