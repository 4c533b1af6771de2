"""Retrieval: is what belongs to a query among the first k of a gallery?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ...support.hashing import Hash
from ..labels import check_whole
from .task import Number, Task

_TEMPERATURE = 0.05  # of the loss: cosines are divided by it


class Retrieval(Task):
    """Embeddings of queries against a gallery; a label is the id of what belongs to the query.

    Args:
        gallery: embeddings (items, width), such as those that the top gives by itself.
        ids: whole numbers (items,); several items may bear one id, the nearest of them counts.
        k: an error is 100 where none of the first k items bears the query's id.

    Raises:
        DataError: if the two do not fit together.

    Examples:
        >>> task = ms.tasks.Retrieval(torch.eye(3), [7, 8, 9])
        >>> task.judge(torch.eye(3), torch.tensor([7, 8, 7])).errors.tolist()
        [0.0, 0.0, 100.0]
    """

    needs_head = False
    built_in = True

    def __init__(self, gallery: Tensor, ids: Tensor | Sequence[int], *, k: int = 1) -> None:
        found = torch.as_tensor(ids)
        if not isinstance(gallery, Tensor) or gallery.ndim != 2 or found.shape != gallery.shape[:1] or not len(found):
            shape = tuple(gallery.shape) if isinstance(gallery, Tensor) else type(gallery).__name__
            raise DataError(
                f"The gallery is of shape {shape} with {len(found) if found.ndim else 0} ids: expected embeddings "
                "(items, width) and an id for each."
            )
        if not bool(gallery.isfinite().all()) or not bool((gallery != 0).any(1).all()):
            raise DataError(
                "The gallery holds NaN, infinity or a row of zeros: expected embeddings that have an angle."
            )
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(found):
            raise DataError(f"k is {k!r}: expected a whole number from 1 to {len(found)}, the items of the gallery.")
        super().__init__(
            "retrieval",
            unit=f"points of recall@{k}",
            says=f"100 where none of the first {k} of {len(found):,} items bears the query's id, by cosine, else 0",
        )
        self.gallery, self.ids, self.k = F.normalize(gallery.detach().float(), dim=1), check_whole(found), k
        self._known = set(self.ids.tolist())

    @property
    def error_unit(self) -> str:
        return f"% missed at {self.k}"

    @property
    def loss_unit(self) -> str:
        return "nats"

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        labels = check_whole(labels)
        wrong = [label for label in labels.flatten().tolist() if label not in self._known]
        if wrong or labels.ndim != 1:
            count = f"{'' if whole else 'at least '}{len(wrong)} of them" if wrong else f"shape {tuple(labels.shape)}"
            first = f", the first is {wrong[0]}" if wrong else ""
            raise DataError(
                f"The labels of {where} are no ids of the gallery ({count}{first}): expected one of its "
                f"{len(self._known):,} ids for each query; put what belongs to every query into the gallery."
            )
        return labels

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        if shape != tuple(self.gallery.shape[1:]):
            raise DataError(
                f"The top {name!r} gives values of shape {shape} for a sample, the gallery holds vectors of "
                f"{self.gallery.shape[1]} numbers: expected as many; embed the gallery with this network."
            )

    def check(self, output: Tensor, labels: Tensor) -> None:
        self.fits("network", tuple(output.shape[1:]), labels)

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """Minus the log share of what bears the id, at a temperature of 0.05 of cosines."""
        logs = (self.likeness(output) / _TEMPERATURE).log_softmax(1)
        return -logs.masked_fill(~self._bears(labels), -torch.inf).logsumexp(1)

    def errors(self, output: Tensor, labels: Tensor) -> Tensor:
        return 100.0 * (self.ranks(output, labels) > self.k).to(output.dtype)

    def judge(self, output: Tensor, labels: Tensor) -> Any:
        found = super().judge(output, labels)
        return type(found)(found.errors, found.weights, self.losses(output, labels))

    def likeness(self, output: Tensor) -> Tensor:
        """The cosine of each query to each item, (n, items)."""
        return F.normalize(output, dim=1) @ self.gallery.to(output).T

    def ranks(self, output: Tensor, labels: Tensor) -> Tensor:
        """The place of the nearest item that bears the id, from 1; items as near as it stand before it, (n,)."""
        likeness, bears = self.likeness(output), self._bears(labels)
        best = likeness.masked_fill(~bears, -torch.inf).amax(1, keepdim=True)
        return 1 + ((likeness >= best) & ~bears).sum(1)

    def _bears(self, labels: Tensor) -> Tensor:
        return labels[:, None] == self.ids.to(labels.device)

    def counted(self) -> Places:
        return Places(self)

    def stated(self) -> dict[str, Any]:
        digest = Hash("gallery")
        digest.add("items", self.gallery, "ids", self.ids)
        return {**super().stated(), "gallery": digest.hex(16), "items": len(self.ids), "k": self.k}


class Places:
    """Sums of recall and of reciprocal ranks."""

    def __init__(self, task: Retrieval) -> None:
        self._task, self.n, self.inverse = task, 0, 0.0
        self.hits = {k: 0 for k in (1, 5, 10) if k <= len(task.ids)}

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Count a batch."""
        ranks = self._task.ranks(output, labels)
        self.n += len(ranks)
        self.inverse += float((1.0 / ranks.double()).sum())
        for k in self.hits:
            self.hits[k] += int((ranks <= k).sum())

    def numbers(self) -> Mapping[str, Number]:
        """``recall@1``, ``recall@5``, ``recall@10`` in percent, and ``mrr``, the mean reciprocal rank."""
        shares = {f"recall@{k}": (100.0 * hits / self.n, "percent") for k, hits in self.hits.items()}
        return {**shares, "mrr": (self.inverse / self.n, "")}

    def level(self) -> None:
        """It is measured by one answer for all."""
