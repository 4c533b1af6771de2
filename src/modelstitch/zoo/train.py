"""Supervised training: the paper's recipe, and a one-cycle recipe for small budgets."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.batch import Batch
from ..data.data import Data
from ..errors import DataError, FitError, StitchError, first_line
from ..support.ambient import in_settled
from ..support.device import to_device
from ..support.fast.cuda_graphs import Recorded, record
from ..support.resume import Unfinished
from .state import Trained, state_of, take_up

Progress = Callable[[int, float], None]  # called with (steps done, loss)
_CHECK = 20  # steps between two looks at the loss: each look waits for an accelerator


@dataclass(frozen=True)
class Recipe:
    """How a network is trained on labels.

    Attributes:
        steps: optimiser steps.
        lr: the base rate (``step``: the first one; ``one-cycle``: the peak).
        schedule: ``step`` multiplies by ``drop`` at the fractions ``drops``; ``one-cycle`` rises linearly for
            the first quarter and falls linearly to zero; ``constant``.
        optimiser: "sgd", or "adamw" for transformers, which SGD hardly trains; then ``momentum`` is not used.
        momentum: Nesterov's.
        augment: use the data's augmentation.
        n_fit: train on the first so many samples only.
        checkpoints: steps after which the weights are kept, too.
        precision: of the forward pass; weights stay float32.
        channels_last: the memory layout of images and weights.
    """

    steps: int
    lr: float = 0.05
    batch_size: int = 128
    schedule: Literal["step", "one-cycle", "constant"] = "step"
    drops: tuple[float, ...] = (0.5, 0.75)
    drop: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 1e-4
    augment: bool = True
    n_fit: int | None = None
    checkpoints: tuple[int, ...] = ()
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    optimiser: Literal["sgd", "adamw"] = "sgd"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not self.lr > 0:
            raise FitError(
                f"A recipe needs steps, batch_size and lr above 0, found {self.steps}, {self.batch_size} and {self.lr}."
            )
        late = [step for step in self.checkpoints if not 0 < step <= self.steps]
        if late:
            raise FitError(f"The checkpoint {late[0]} is outside the recipe's steps 1 to {self.steps}.")

    def rate(self, step: int) -> float:
        """The learning rate of a step, 0 <= step < steps."""
        done = step / self.steps
        if self.schedule == "step":
            return self.lr * self.drop ** sum(done >= at for at in self.drops)
        if self.schedule == "one-cycle":
            return self.lr * min((step + 1) / max(1.0, 0.25 * self.steps), (1 - done) / 0.75)
        return self.lr


PAPER = Recipe(steps=64_000)  # Bansal et al. 2021, appendix A.2 (ResNets on CIFAR)
# float32: processors without bfloat16 instructions emulate them, ten times slower.
SHORT_CIFAR = Recipe(steps=2_300, lr=0.1, schedule="one-cycle", weight_decay=5e-4, channels_last=True)
SHORT_DIGITS = Recipe(steps=240, lr=0.2, schedule="one-cycle", weight_decay=5e-4, batch_size=64, channels_last=True)


def short_recipe(net: str, *, digits: bool) -> Recipe:
    """The recipe for a few minutes: SGD at a one-cycle schedule, AdamW for transformers, which SGD hardly trains."""
    base, name = SHORT_DIGITS if digits else SHORT_CIFAR, net.partition("?")[0].removeprefix("zoo:")
    if name == "vit":
        return replace(base, optimiser="adamw", lr=2e-3, weight_decay=0.05)
    if name in ("mlp", "fcn"):
        return replace(SHORT_DIGITS, optimiser="adamw", lr=0.02 if name == "mlp" else 5e-3, weight_decay=0.01)
    return base


@in_settled
def train(
    module: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    seed: int = 0,
    frozen: Sequence[str] = (),
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    unfinished: Unfinished | None = None,
) -> Trained:
    """Train ``module`` in place on the fit split and leave it in eval mode.

    Args:
        seed: of the order of the samples and of the augmentation.
        frozen: names of submodules that stay as they are: no gradient, BatchNorm statistics kept.
        progress: called after every step with (steps done, loss); the loss is refreshed every few steps.
        unfinished: where a stopped run of the same training left its state, and this one leaves its own.

    Raises:
        FitError: if the loss becomes NaN or infinite (the step is named), or outputs do not fit the labels.
        DataError: if the data have no labels to train on.
    """
    need_labels(data)
    data = (data if recipe.n_fit is None else data.subset(recipe.n_fit)).on(device)

    def prepare(batch: Batch) -> tuple[Any, Tensor]:
        return place(batch.inputs, device, recipe.channels_last), batch.labels.to(device)

    task = data.task

    def loss_of(inputs: Any, labels: Tensor) -> Tensor:
        output = module(inputs).float()
        return cross_entropy(output, labels) if task.by_class else task.fitted(output, labels)

    frozen_modules = [module.get_submodule(name) for name in frozen]
    module.to(device)
    _check_takes(module.eval(), data, lambda batch: loss_of(*prepare(batch)))
    module.train()
    for part in frozen_modules:
        part.eval().requires_grad_(False)

    def batches(first: int) -> Iterator[tuple[Any, Tensor]]:
        return map(prepare, endless(data, recipe.batch_size, seed=seed, augment=recipe.augment, first=first))

    how: dict[str, Any] = {"device": device, "progress": progress, "unfinished": unfinished}
    return descend([module], loss_of, batches, recipe, recordable=task.recordable, **how)


def _check_takes(module: nn.Module, data: Data, loss_of: Callable[[Batch], Tensor]) -> None:
    """Refuse a network that cannot take the samples, or whose answers have no loss, before the first step."""
    try:
        with torch.no_grad():
            loss_of(next(data.batches("fit", 2)))
    except StitchError:
        raise
    except Exception as error:  # whatever a module says of an input that it cannot take
        raise FitError(
            f"This network cannot be trained on {data.name}, whose samples are {data.sample_shape} and whose task is "
            f"{data.task.name} ({type(error).__name__}: {first_line(error)}): choose a network for such samples."
        ) from error


def need_labels(data: Data) -> None:
    """Refuse data that have nothing to train on here: no labels, or texts.

    Raises:
        DataError: with what to do instead.
    """
    if data.text is not None or not data.task.needs_head:
        what = "are texts" if data.text is not None else f"are of the task {data.task.name}, without labels to learn"
        raise DataError(
            f"The data {data.name} {what}: expected images or vectors with labels; train it yourself, and give it with "
            "--import FILE.py, or ms.Network."
        )


def need_classes(data: Data) -> None:
    """Refuse data of another task than one class for each sample.

    Raises:
        DataError: with what to do instead.
    """
    if not data.task.by_class:
        raise DataError(
            f"The data {data.name} are of the task {data.task.name}: expected one class for each sample, since "
            "networks are trained here on classes alone; train it yourself, and give it with --import FILE.py, or "
            "ms.Network."
        )


def descend(
    modules: Sequence[nn.Module],
    loss_of: Callable[..., Tensor],
    batches: Callable[[int], Iterator[Sequence[Any]]],
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    unfinished: Unfinished | None = None,
    generator: torch.Generator | None = None,
    recordable: bool = True,
) -> Trained:
    """The loop: steps on ``loss_of(*batch)`` over ``modules``; checkpoints are of the first one.

    Args:
        batches: from the number of steps that were done to what the loss is a function of at each one that follows, on
            the device, in the same shapes from batch to batch. On a GPU the step is recorded from the first one and
            replayed.
        unfinished: where the state is kept, and taken up again.
        generator: what else the batches draw from; its state is kept, too.
        recordable: the loss looks at no value, so that a GPU may record it.
    """
    for module in modules if recipe.channels_last else ():
        module.to(memory_format=torch.channels_last)
    optimiser = _optimiser(modules, recipe)
    trained = Trained()
    first = take_up(unfinished, modules, optimiser, generator, trained)
    coming = batches(first)
    step_of = _Steps(loss_of, modules, optimiser, recipe, device, recordable=recordable)
    for step in range(first, recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        loss = step_of(next(coming))
        if step % _CHECK == 0 or step + 1 == recipe.steps:
            trained.loss = _finite(loss, step, recipe)
        if step + 1 in recipe.checkpoints:
            trained.checkpoints[step + 1] = copy.deepcopy(modules[0].state_dict())
        if unfinished is not None and (unfinished.due or step + 1 == recipe.steps):
            unfinished.write(state_of(step + 1, modules, optimiser, generator, trained))
        if progress is not None:
            progress(step + 1, trained.loss)
    for module in modules:
        module.eval()
    _check_finite(modules[0])
    return trained


def _check_finite(module: nn.Module) -> None:
    bad = [name for name, value in module.state_dict().items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise FitError(f"Training diverged: {bad[0]} holds NaN or infinity; try a smaller learning rate.")


class _Steps:
    """One step after another; on a GPU the first is recorded, and then replayed."""

    def __init__(
        self,
        loss_of: Callable[..., Tensor],
        modules: Sequence[nn.Module],
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        device: torch.device | str,
        *,
        recordable: bool,
    ) -> None:
        self._begun = not recordable
        self._loss_of, self._modules, self._optimiser = loss_of, modules, optimiser
        self._recipe, self._device = recipe, device
        self._recorded: Recorded | None = None

    def __call__(self, batch: Sequence[Any]) -> Tensor:
        """Take a step on a batch, and return its loss."""
        with _kernels(self._modules, self._device):
            if not self._begun and _recordable(batch):
                self._recorded = record(self._loss_of, batch, self._modules, lambda: self._autocast(cache=False))
            self._begun = True
            loss: Tensor = self._plainly(batch) if self._recorded is None else self._recorded(*batch)
        self._optimiser.step()
        return loss

    def _plainly(self, batch: Sequence[Any]) -> Tensor:
        with self._autocast():
            loss = self._loss_of(*batch)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _autocast(self, *, cache: bool = True) -> AbstractContextManager[Any]:
        return autocast(self._recipe.precision, self._device, cache=cache)


def error_rate(
    module: nn.Module,
    data: Data,
    split: Literal["fit", "val", "test"],
    *,
    device: torch.device | str = "cpu",
    view: Callable[[Any], Any] | None = None,
) -> float:
    """The mean error on a split in the task's unit, of classes the share of wrong answers in percent.

    The module is used in eval mode and float32.

    Args:
        module: its output fits the labels.
        data: of raw samples.
        split: of these.
        device: where the module is.
        view: what the module sees of a batch of them; the samples as they are by default.
    """
    was_training = module.training
    module.eval()
    total = counted = 0.0
    with torch.no_grad():
        for batch in data.batches(split, 512):
            output = module(place(batch.inputs if view is None else view(batch.inputs), device, False)).float().cpu()
            data.task.check(output, batch.labels)
            judged = data.task.judge(output, batch.labels)
            total += float((judged.errors.double() * judged.weights.double()).sum())
            counted += float(judged.weights.double().sum())
    module.train(was_training)
    return total / counted


def endless(data: Data, batch_size: int, *, seed: int, augment: bool, first: int = 0) -> Iterator[Batch]:
    """Shuffled passes over the fit split without end, each with an order of its own; full batches only.

    Args:
        first: leave out so many batches.
    """
    size = min(batch_size, data.size("fit"))
    epoch, begun = divmod(first, data.size("fit") // size)
    while True:
        whole = data.batches("fit", size, seed=seed * 1_000_003 + epoch, augment=augment, drop_last=True)
        yield from itertools.islice(whole, begun, None)
        epoch, begun = epoch + 1, 0


def place(inputs: Any, device: torch.device | str, channels_last: bool) -> Any:
    """Inputs on the device, images in the asked memory layout."""
    if isinstance(inputs, dict):
        return {key: place(value, device, channels_last) for key, value in inputs.items()}
    inputs = to_device(inputs, device)
    if channels_last and inputs.ndim == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs


def autocast(precision: str, device: torch.device | str, *, cache: bool = True) -> AbstractContextManager[Any]:
    """torch's autocast to bfloat16 where asked, else nothing; nor on a CPU without instructions for it.

    Ten times slower.
    """
    kind = torch.device(device).type
    able = kind != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16" and able, cache_enabled=cache)


def _recordable(batch: Sequence[Any]) -> bool:
    return all(isinstance(part, Tensor) and part.is_cuda for part in batch)


def _kernels(modules: Sequence[nn.Module], device: torch.device | str) -> AbstractContextManager[Any]:
    """oneDNN's kernels, but for very narrow convolutions on a CPU without AVX-512.

    With torch 2.15 the AVX2 kernel for the gradient of a convolution with fewer than 8 channels writes outside its
    memory, and the process dies some steps later. torch's own are slower.
    """
    if torch.device(device).type != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512":
        return nullcontext()
    parts = (part for module in modules for part in module.modules())
    narrow = any(isinstance(part, nn.Conv2d) and part.out_channels < 8 for part in parts)
    return _without_onednn() if narrow else nullcontext()


@contextmanager
def _without_onednn() -> Iterator[None]:
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _optimiser(modules: Sequence[nn.Module], recipe: Recipe) -> torch.optim.Optimizer:
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    fused = all(p.is_cuda for p in parameters)
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.SGD(
        parameters,
        recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
        fused=fused,
    )


def _finite(loss: Tensor, step: int, recipe: Recipe) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FitError(
            f"Training diverged: the loss is {value} at step {step + 1} of {recipe.steps} (learning rate "
            f"{recipe.rate(step):g}); try a smaller one, or check the inputs for NaN."
        )
    return value
