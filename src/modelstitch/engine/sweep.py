"""What the fitting of one sweep has in common: who sends, who receives, on which data, how, and from which seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch

from ..data.data import Batch, Data
from ..network import Network
from ..support import hashing
from ..support.permutations import derangement
from .fit.objectives import Loss
from .fit.options import FitSpec
from .senders import Sender

Tick = Callable[[int], None]
Watch = Callable[[str, int, dict[str, float]], None]  # seam, step, {"val/error": ..., ...}

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
