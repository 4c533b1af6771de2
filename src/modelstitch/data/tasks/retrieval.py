"""Retrieval: is what belongs to a query among the first k of a gallery?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError, first_line
from ...support.device import to_device
from ...support.hashing import Hash
from ..batch import chunks, fetch, hash_samples
from ..given import Arrays
from ..labels import IDS, as_labels, check_whole
from .task import ByBatch, Drawn, HasSplits, Split, Task, stacked

if TYPE_CHECKING:
    from ...network import Network

_BATCH = 256
_SPLITS: tuple[Split, ...] = ("fit", "val", "test")
_GALLERY = "the gallery"
_TEMPERATURE = 0.05  # of the loss: cosines are divided by it


class Retrieval(Task):
    """Embeddings of queries against a gallery; a label is the id of what belongs to the query.

    Args:
        gallery: embeddings (items, width), the same for every top; by default each top has its own: what it gives by
            itself for the samples of the fit split, by their labels.
        ids: whole numbers (items,), with a gallery; several items may bear one id, the nearest of them counts.
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

    def __init__(self, gallery: Tensor | None = None, ids: Tensor | Sequence[int] | None = None, *, k: int = 1) -> None:
        if (gallery is None) != (ids is None):
            raise DataError("A gallery and the ids of its items belong together: expected both, found one.")
        found = None if ids is None else as_labels(ids)
        if gallery is not None and found is not None:
            gallery = _checked(gallery, found)
        most = None if found is None else len(found)
        _check_k(k, most)
        whose = f"{most:,} items" if most is not None else "what the top itself gives for the gallery"
        super().__init__(
            "retrieval",
            unit=f"points of recall@{k}",
            says=f"100 where none of the first {k} of {whose} bears the query's id, by cosine, else 0",
        )
        self.error_unit, self.loss_unit = "% of queries", "nats"
        self.k = k
        self._items: Arrays | None = None
        self._stood: dict[tuple[str, str], Retrieval] = {}  # for one top and one data
        self._gallery = None if gallery is None else F.normalize(gallery.detach().float(), dim=1)
        self._ids = None if found is None else check_whole(found, _GALLERY, IDS)
        self._known = set() if self._ids is None else set(self._ids.tolist())
        self._from: tuple[Retrieval, HasSplits] | None = None  # what it was for no top, and its data
        self.foreign = gallery is not None

    @classmethod
    def of(cls, items: Any, ids: Tensor | Sequence[int], *, k: int = 1) -> Retrieval:
        """Search among items that each top embeds by itself.

        Args:
            items: raw samples (items, ...) as the data hold them: an array, or a dict of such.
            ids: whole numbers (items,).
            k: as for the task.

        Returns:
            The task.

        Raises:
            DataError: they are not as many.
        """
        task = cls(k=k)
        task._items = Arrays(items, ids, None, "The gallery")
        task._known = set(check_whole(task._items.labels, _GALLERY, IDS).tolist())
        if not task._known or k > len(task._items):
            raise DataError(
                f"The gallery has {len(task._items):,} items: expected {max(1, k):,} at least, as many as are looked "
                "at (k)."
            )
        return task

    def with_option(self, text: str) -> Retrieval:
        if not text.isdecimal():
            raise DataError(f"The task retrieval:{text} cannot be read: expected the items to look at, retrieval:5.")
        return Retrieval(k=int(text))

    def for_top(self, top: Network, data: HasSplits, device: torch.device) -> Task:
        if self._from is not None:
            task, whole = self._from
            return task.for_top(top, whole, device)
        if self._gallery is not None:
            return self
        key = top.fingerprint(), data.fingerprint
        if key not in self._stood:
            self._stood[key] = self._embedded(top, data, device)
        return self._stood[key]

    def _embedded(self, top: Network, data: HasSplits, device: torch.device) -> Retrieval:
        """The task with the gallery as a top itself embeds it."""
        self.fits(top.name, top.output_shape, torch.zeros(1))
        whole, found, ids = top.whole(device), [], []
        with torch.no_grad():
            for inputs, labels in self._batches(data):
                found.append(whole(to_device(top.view(inputs), device)).float().cpu())
                ids.append(labels)
        items = sum(map(len, ids))
        if self.k > items:
            raise DataError(
                f"The fit split of {data.name}, which is the gallery, has {items:,} items: expected {self.k:,} at "
                "least, as many as are looked at (k)."
            )
        task = Retrieval(torch.cat(found), torch.cat(ids), k=self.k)
        task._from, task.foreign = (self, data), False  # each network has its own
        for split in _SPLITS:
            task.take(data.labels(split), f"the {split} split of {data.name}")
        return task

    def _batches(self, data: HasSplits) -> Iterator[tuple[Any, Tensor]]:
        if self._items is None:
            yield from ((batch.inputs, batch.labels) for batch in data.batches("fit", _BATCH))
            return
        for at in chunks(torch.arange(len(self._items)), _BATCH):
            yield fetch(self._items, at)

    @property
    def gallery(self) -> Tensor:
        """The items, of length 1, (items, width)."""
        assert self._gallery is not None
        return self._gallery

    @property
    def ids(self) -> Tensor:
        """Of the items, (items,)."""
        assert self._ids is not None
        return self._ids

    def take(self, labels: Tensor, where: str, *, n_classes: int | None = None, whole: bool = True) -> Tensor:
        labels = check_whole(labels, where, IDS)
        if labels.ndim != 1:
            raise DataError(
                f"The labels of {where} are of shape {tuple(labels.shape)}: expected one id for each query, (n,); "
                "where several items belong to a query give them one id."
            )
        wrong = [label for label in labels.tolist() if label not in self._known] if self._known else []
        if wrong:  # without ids those of the fit split are the gallery's, see for_top
            count = f"{'' if whole else 'at least '}{len(wrong):,} of them"
            place = "the gallery" if self._from is None else "the fit split, which is the gallery"
            raise DataError(
                f"The labels of {where} are no ids of the gallery ({count}, the first is {wrong[0]}): expected one of "
                f"its {len(self._known):,} ids for each query; put what belongs to every query into {place}."
            )
        return labels

    def fits(self, name: str, shape: tuple[int, ...], labels: Tensor) -> None:
        if self._gallery is None:
            if len(shape) != 1 or shape[0] < 2:
                raise DataError(
                    f"The top {name!r} gives values of shape {shape} for a sample: expected one vector of two numbers "
                    "or more, whose angle to others can be measured; pool it at the end of the network (of hf: models "
                    "?pool=mean), or choose another output=."
                )
            return
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
        stated = {**super().stated(), "k": self.k}
        if self._gallery is None and self._items is None:
            return {**stated, "gallery": "the fit split, as the top itself gives it"}
        digest = Hash("gallery")
        if self._gallery is not None:
            digest.add("items", self._gallery, "ids", self.ids)
        else:
            hash_samples(self._items, digest)
        return {**stated, "gallery": digest.hex(16), "items": len(self.ids if self._items is None else self._items)}


def _check_k(k: Any, most: int | None) -> None:
    """Refuse what is no number of items to look at; ``most`` is how many there are, where it is known."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1 or (most is not None and k > most):
        limit = "above 0" if most is None else f"from 1 to {most}, the items of the gallery"
        raise DataError(f"k is {k!r}: expected a whole number {limit}.")


def _checked(given: Any, ids: Tensor) -> Tensor:
    """A gallery as a tensor (items, width), of items that have an angle and an id each."""
    try:
        gallery = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"The gallery is of type {type(given).__name__} ({first_line(error)}): expected embeddings, numbers "
            "(items, width)."
        ) from error
    if gallery.ndim != 2 or ids.shape != gallery.shape[:1] or not len(ids):
        raise DataError(
            f"The gallery is of shape {tuple(gallery.shape)} with ids of shape {tuple(ids.shape)}: expected embeddings "
            "(items, width) and an id for each."
        )
    if not bool(gallery.isfinite().all()) or not bool((gallery != 0).any(1).all()):
        raise DataError("The gallery holds NaN, infinity or a row of zeros: expected embeddings that have an angle.")
    return gallery


class Places(ByBatch):
    """The ranks of what belongs to each query, for recall and reciprocal ranks."""

    def __init__(self, task: Retrieval) -> None:
        super().__init__()
        self._task = task
        self._ks = [k for k in (1, 5, 10) if k <= len(task.ids)]
        self.units = {**{f"recall@{k}": "percent" for k in self._ks}, "mrr": ""}

    def add(self, output: Tensor, labels: Tensor) -> None:
        """Keep the ranks of a batch."""
        self.parts.append((self._task.ranks(output, labels).cpu(),))

    @property
    def size(self) -> tuple[int, int]:
        return sum(len(ranks) for (ranks,) in self.parts), len(self.units)

    def drawn(self, counts: Drawn) -> dict[str, Drawn]:
        """``recall@1``, ``recall@5``, ``recall@10`` in percent, and ``mrr``, the mean reciprocal rank."""
        ranks, n = stacked([ranks for (ranks,) in self.parts]), counts.sum(1)
        shares = {f"recall@{k}": 100.0 * (counts @ (ranks <= k)) / n for k in self._ks}
        return {**shares, "mrr": counts @ (1.0 / ranks) / n}

    def level(self) -> None:
        """It is measured by one answer for all."""


RETRIEVAL = Retrieval()
