"""Training without labels (SimCLR, VICReg, rotation prediction), then a linear head on frozen features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.batch import Batch
from ..data.data import Data
from ..errors import FitError
from ..support.ambient import in_settled
from ..support.resume import Unfinished
from .linear import fit_linear
from .ssl_losses import nt_xent, vicreg
from .state import Trained
from .train import Progress, Recipe, descend, endless, place
from .views import VIEWS, Views, quarter_turns

Method = Literal["simclr", "vicreg", "rotation"]


@dataclass(frozen=True)
class SelfRecipe:
    """How a body is trained without labels.

    Attributes:
        method: what the body learns: which two views belong together (``simclr``, ``vicreg``), or by how
            many quarter circles an image was turned (``rotation``).
        base: the steps, rates and precision; its ``augment`` is not used, the method's own views are.
        temperature: of SimCLR.
        projection: width of the layers between the features and the loss, thrown away afterwards.
        views: a name of ``views.VIEWS``; None: those for colour images where there are three channels, else those for
            digits.
    """

    method: Method
    base: Recipe
    temperature: float = 0.5
    projection: int = 64
    views: Literal["digits", "colour", "grey"] | None = None

    def __post_init__(self) -> None:
        if self.views is not None and self.views not in VIEWS:
            raise FitError(f"There are no views {self.views!r}: expected one of {', '.join(VIEWS)}, or None.")

    def viewed(self, channels: int) -> Views:
        """The views of images of so many channels."""
        return VIEWS[self.views or ("colour" if channels == 3 else "digits")]()


SIMCLR_DIGITS = SelfRecipe(
    "simclr",
    Recipe(steps=200, lr=0.2, schedule="one-cycle", weight_decay=5e-4, batch_size=125, channels_last=True),
)


@in_settled
def train_without_labels(
    module: nn.Module,
    data: Data,
    recipe: SelfRecipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    unfinished: Unfinished | None = None,
) -> Trained:
    """Train the body of ``module`` (all but its ``head``) in place without labels, then the head alone.

    Labels are read by the linear classifier alone. The module ends in eval mode. ``unfinished`` as for ``train``.

    Raises:
        FitError: if the module has no linear ``head``, or training diverges.
    """
    head = getattr(module, "head", None)
    if not isinstance(head, nn.Linear):
        raise FitError(
            f"Training without labels needs a network whose last part is a linear layer named 'head', "
            f"found {type(head).__name__}; use a network of the zoo."
        )
    views = recipe.viewed(next(data.batches("fit", 1)).inputs.shape[1])
    base = recipe.base
    data = (data if base.n_fit is None else data.subset(base.n_fit)).on(device)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        task = _projector(head.in_features, recipe)
    prepare, loss_of = _task(module, task, recipe, views, generator, device)
    module.to(device).train()
    task.to(device).train()
    module.head = nn.Identity()

    def batches(first: int) -> Iterator[tuple[Tensor, ...]]:
        return map(prepare, endless(data, base.batch_size, seed=seed, augment=False, first=first))

    try:
        trained = descend(
            [module, task],
            loss_of,
            batches,
            base,
            device=device,
            progress=progress,
            unfinished=unfinished,
            generator=generator,
        )
    finally:
        module.head = head
    trained.checkpoints = {
        step: _with_head(module, weights, data, device) for step, weights in trained.checkpoints.items()
    }
    fit_linear(module, data, device=device)
    return trained


def _projector(features: int, recipe: SelfRecipe) -> nn.Module:
    if recipe.method == "rotation":
        return nn.Linear(features, 4)
    width = recipe.projection
    return nn.Sequential(
        nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
    )


def _task(
    body: nn.Module,
    task: nn.Module,
    recipe: SelfRecipe,
    views: Views,
    generator: torch.Generator,
    device: torch.device | str,
) -> tuple[Callable[[Batch], tuple[Tensor, ...]], Callable[..., Tensor]]:
    """How a batch becomes what the loss is a function of, and that function."""

    def turned(batch: Batch) -> tuple[Tensor, ...]:
        turns = torch.randint(0, 4, (len(batch),), generator=generator)
        inputs = quarter_turns(views(batch.inputs, generator), turns)
        return place(inputs, device, recipe.base.channels_last), turns.to(device)

    def rotation(inputs: Tensor, turns: Tensor) -> Tensor:
        return cross_entropy(task(body(inputs)).float(), turns)

    def viewed(batch: Batch) -> tuple[Tensor, ...]:
        # Both views in one forward, so that BatchNorm cannot tell them apart.
        inputs = torch.cat([views(batch.inputs, generator), views(batch.inputs, generator)])
        return (place(inputs, device, recipe.base.channels_last),)

    def pairs(inputs: Tensor) -> Tensor:
        one, two = task(body(inputs)).chunk(2)
        return nt_xent(one, two, recipe.temperature) if recipe.method == "simclr" else vicreg(one, two)

    return (turned, rotation) if recipe.method == "rotation" else (viewed, pairs)


def _with_head(module: nn.Module, body: dict[str, Tensor], data: Data, device: torch.device | str) -> dict[str, Tensor]:
    """A body's weights completed with a head fitted to its features; the module's own weights come back."""
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict({**kept, **body})
    fit_linear(module, data, device=device)
    full = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(kept)
    return full
