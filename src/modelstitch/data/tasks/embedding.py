"""Embeddings without labels: the error of a sample is the cosine distance to what the top gives by itself."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from .task import Task


class Embedding(Task):
    """Vectors against the top's own, both (n, ...); the data's labels are not looked at."""

    needs_head = False
    needs_labels = False
    of_top = True
    foreign = True
    built_in = True

    def __init__(self) -> None:
        super().__init__(
            "embedding", apart, unit="cosine distance", says="1 - the cosine to what the top gives by itself"
        )

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        return labels

    def check_fit(self, labels: Tensor, where: str) -> None:
        """No label is looked at."""

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        if len(shape) == 2:
            raise DataError(
                f"The top {name!r} gives values of shape {shape} for a sample, a vector for each position, padding "
                "among them: expected one vector; pool them at the end of the network (of hf: models ?pool=mean), or "
                "choose another output=."
            )

        if shape == (1,):
            raise DataError(
                f"The top {name!r} gives one number for a sample: expected a vector of two numbers or more, whose "
                "angle can be measured; choose another output=."
            )

    def check(self, output: Tensor, labels: Tensor) -> None:
        if output.shape != labels.shape:
            raise DataError(
                f"An output has shape {tuple(output.shape)}, the top's own {tuple(labels.shape)}: expected vectors of "
                "one length, whose angle can be measured."
            )


def apart(output: Tensor, own: Tensor) -> Tensor:
    """The cosine distance of each sample to the top's own, (n,)."""
    one, other = (F.normalize(vectors.flatten(1), dim=1) for vectors in (output, own))
    return 0.5 * (one - other).square().sum(1)  # 1 - cosine, and 0 where both are equal


EMBEDDING = Embedding()
