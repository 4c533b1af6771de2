"""What is asked of a model loader, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SourceError
from ..support.words import hint

StateDict = dict[str, Tensor]
RANDOM_ONES = 'ask for random weights with weights="random" (--random-weights)'  # the end of a sentence


@dataclass(frozen=True)
class Request:
    """A parsed spec ``family:path?option=value&...`` with the keywords of ``load``."""

    spec: str
    path: str
    classes: int | None = None
    size: int | None = None
    weights: Path | None = None
    random: bool = False
    input_shape: tuple[int, ...] | None = None
    seed: int = 0
    meta: bool = False
    class_names: tuple[str, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype | None = None

    @property
    def kind(self) -> str:
        """What stands before the colon: "timm"."""
        return self.spec.partition(":")[0]

    @property
    def published(self) -> bool:
        """Whether the weights that the library publishes under the name are asked for."""
        return self.weights is None and not self.random and not self.meta


@dataclass(frozen=True)
class Made:
    """A module with an example batch and its view.

    ``whole`` is what a weights file may describe instead of the module; ``finish`` makes the module that is traced once
    the weights are in (a zero-shot head depends on them); ``trained_on`` tells how many fit samples, the first ones, it
    was trained on; ``renamed`` gives the tensors of a weights file their names in the module; ``net`` says which
    architecture it is where the request does not. ``origin`` says in words where weights come from that the loader has
    put in itself, and ``drawn`` which of the parameters are random beside them; ``head`` is False where the output are
    features, no scores of classes. ``suffix`` belongs behind the name: a checkpoint's step.
    """

    module: nn.Module
    example: Any
    view: Callable[[Any], Any] | None = None
    data: str | int | None = None
    output: str | int | None = None
    whole: nn.Module | None = None
    trained_on: int | None = None
    finish: Callable[[], nn.Module] | None = None
    renamed: Callable[[StateDict], StateDict] | None = None
    net: str = ""
    head: bool = True
    origin: str = ""
    suffix: str = ""
    drawn: str = ""


def check_options(request: Request) -> None:
    """Refuse options of a name that no one has taken.

    Raises:
        SourceError: naming them.
    """
    if request.options:
        raise SourceError(f"The options {', '.join(request.options)} of {request.spec!r} are unknown.")


def closest(name: str, known: Iterable[str]) -> str:
    """The close names as the end of a sentence."""
    return hint(name, known, "check the name.")
