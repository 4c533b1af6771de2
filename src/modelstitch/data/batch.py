"""A batch of samples, and how it is read from a dataset: at once where that can, one after another where it cannot."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Subset, TensorDataset, default_collate

from ..errors import DataError, first_line
from ..support.device import mapped
from ..support.hashing import Hash
from .labels import as_labels
from .pairs import pair_of

_CHUNK, _BYTES = 512, 1 << 29  # samples that are read at a time, at most, and what they may take


def shared(one: Any, other: Any) -> int:
    """How many samples two datasets have in common, as far as they are one object or ``Subset``s of one."""
    if one is other:
        return len(one)
    if _root(one) is not _root(other):
        return 0
    ids, others = _ids(one), _ids(other)
    return len(set(ids) & set(others)) if ids is not None and others is not None else 0


def _root(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _ids(dataset: Any) -> Sequence[int] | None:
    """Which samples of its root a subset of subsets holds; None where it tells them by anything but whole numbers."""
    if not isinstance(dataset, Subset):
        return range(len(dataset))
    found: Any = getattr(dataset, "indices", None)
    within = _ids(dataset.dataset)
    found = found.tolist() if hasattr(found, "tolist") else found
    try:
        return [within[operator.index(i)] for i in found] if within is not None else None
    except (TypeError, IndexError):
        return None


def chunks(ids: Tensor, size: int) -> Iterator[Tensor]:
    """The ids (n,) in pieces of ``size``; the last may be shorter."""
    return (ids[start : start + size] for start in range(0, len(ids), size))


def fetch(dataset: Any, ids: Tensor) -> tuple[Any, Tensor]:
    """Inputs and int64 labels of the samples ``ids`` (n,); uint8 and uint16 images become float32 in [0, 1].

    Images of several sizes are a list of tensors (channels, height, width), which a network's view brings to one.

    Raises:
        DataError: if the samples are no (input, label) pairs, cannot be stacked, or have labels that are
            not integers.
    """
    inputs, labels = raw_batch(dataset, ids)
    return in_reals(inputs), labels


def in_reals(inputs: Any) -> Any:
    """A batch's inputs with uint8 and uint16 images as float32 in [0, 1]; all else as it is."""
    if isinstance(inputs, Tensor) and inputs.dtype == torch.uint8:
        inputs = inputs.float().div_(255)
    if isinstance(inputs, Tensor) and inputs.dtype == torch.uint16 and inputs.ndim > 2:  # ids of tokens have two axes
        inputs = inputs.float().div_(65535)
    if isinstance(inputs, list) and of_images(inputs):
        inputs = [image.float().div_(255) if image.dtype == torch.uint8 else image for image in inputs]
    return inputs


def raw_batch(dataset: Any, ids: Tensor) -> tuple[Any, Tensor]:
    """Like ``fetch``, with inputs as the dataset stores them."""
    if hasattr(dataset, "batch"):
        inputs, labels = dataset.batch(ids)
    else:
        samples = [pair_of(dataset[int(i)]) for i in ids]
        try:
            inputs, labels = default_collate(samples)
            if isinstance(samples[0][0], tuple):  # collated into a list
                inputs = tuple(inputs)
        except (TypeError, RuntimeError) as error:
            if of_images([sample[0] for sample in samples]):
                return [sample[0] for sample in samples], as_labels(default_collate([sample[1] for sample in samples]))
            raise DataError(
                f"Samples {int(ids[0])} to {int(ids[-1])} cannot be stacked into a batch "
                f"({first_line(error)}): expected tensors, arrays or numbers of one shape; "
                "resize or pad them in the dataset."
            ) from error
    inputs = dict(inputs) if isinstance(inputs, Mapping) else inputs
    return inputs, as_labels(labels)


def of_images(inputs: Sequence[Any]) -> bool:
    """Whether inputs that make no one tensor are images (channels, height, width), alike but for their size."""
    known = {(one.ndim, one.shape[0], one.dtype) for one in inputs if isinstance(one, Tensor) and one.ndim == 3}
    return len(known) == 1 and all(isinstance(one, Tensor) and one.ndim == 3 for one in inputs)


def together(images: list[Tensor]) -> Tensor | list[Tensor]:
    """Images (channels, height, width) as one tensor where their sizes are equal, else as they are."""
    return torch.stack(images) if len({image.shape for image in images}) == 1 else images


def all_labels(dataset: Any, *, scan: bool) -> Tensor | None:
    """The labels of a dataset, int64 (n, ...): its own ``labels``, else (if ``scan``) by reading it all."""
    labels = getattr(dataset, "labels", None)
    if labels is None and isinstance(dataset, TensorDataset) and len(dataset.tensors) == 2:
        labels = dataset.tensors[1]
    if isinstance(labels, Tensor) and len(labels) == len(dataset):
        return as_labels(labels)
    if not scan:
        return None
    return torch.cat([raw_batch(dataset, ids)[1] for ids in _in_parts(dataset)])


def hash_samples(dataset: Any, digest: Hash) -> None:
    """Count every sample and label of a dataset."""
    for ids in _in_parts(dataset):
        inputs, labels = raw_batch(dataset, ids)
        hash_parts(inputs, digest)
        hash_parts(labels, digest, "labels")


def _in_parts(dataset: Any) -> Iterator[Tensor]:
    """All ids of a dataset, as many at a time as take little memory if all samples are as large as the first."""
    ids = torch.arange(len(dataset))
    first = raw_batch(dataset, ids[:1]) if len(ids) else ()
    each = sum(part.nbytes for value in first for _, part in _parts(value) if isinstance(part, Tensor))
    return chunks(ids, max(1, min(_CHUNK, _BYTES // max(1, each))))


def hash_parts(value: Any, digest: Hash, name: str = "") -> None:
    """Count a batch's inputs, views or labels."""
    for key, part in _parts(value, name):
        digest.add(
            f"{key} {part.dtype} {tuple(part.shape[1:])} " if isinstance(part, Tensor) else f"{key} {part!r}",
            *([part] if isinstance(part, Tensor) else []),
        )


def some_of(inputs: Any, some: slice) -> Any:
    """Some samples of a batch's inputs: of each tensor, where they are a dict or a tuple of tensors."""
    if isinstance(inputs, tuple) and _texts(inputs):
        return inputs[some]
    return mapped(inputs, lambda part: part[some])


def _parts(inputs: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors of a batch's inputs with a name for each, in order of their keys."""
    if isinstance(inputs, dict):
        for key in sorted(inputs):
            yield from _parts(inputs[key], f"{name}.{key}" if name else key)
    elif isinstance(inputs, tuple | list) and not _texts(inputs):
        for at, value in enumerate(inputs):
            yield from _parts(value, f"{name}.{at}")
    else:
        yield name, inputs


def _texts(inputs: Sequence[Any]) -> bool:
    """Whether it is a batch of texts, which is collated into a sequence of them."""
    return bool(inputs) and isinstance(inputs[0], str | bytes)


MASK = "attention_mask"  # the usual key


def mask_of(inputs: Any, key: str = MASK) -> Tensor | None:
    """Where padded sequences hold tokens, bool (n, t): the mask of a dict, by its key; None if nothing is padded."""
    mask = inputs.get(key) if isinstance(inputs, Mapping) else None
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return None
    found = mask != 0
    return None if bool(found.all()) else found


def check_mask(inputs: Any, key: str) -> None:
    """Refuse samples without the mask that was named, or with one of another form.

    Raises:
        DataError: with what the samples hold.
    """
    if key == MASK:
        return  # most data have none
    held = ", ".join(map(repr, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
    mask = inputs.get(key) if isinstance(inputs, Mapping) else None
    if not isinstance(mask, Tensor):
        raise DataError(f"The samples have no mask {key!r}: expected a key of their dict, found {held}; check mask=.")
    if mask.ndim != 2 or not _two_valued(mask):
        raise DataError(
            f"The mask {key!r} is a tensor of shape {tuple(mask.shape)} and type {mask.dtype}: expected (n, "
            f"positions), 1 or "
            "True where a sample holds something and 0 or False where it is padded; make it so in the dataset."
        )


def like_masks(inputs: Any) -> list[str]:
    """The keys of a batch that may be masks.

    Bool or 0 and 1 (n, t), both present, beside something else of that length.
    """
    named = {k: v for k, v in inputs.items() if isinstance(v, Tensor)} if isinstance(inputs, Mapping) else {}
    return [
        key
        for key, value in named.items()
        if value.ndim == 2
        and any(other.shape[:2] == value.shape for name, other in named.items() if name != key)
        and _two_valued(value)
        and bool((value != value[0, 0]).any())
    ]


def _two_valued(value: Tensor) -> bool:
    return bool(((value == 0) | (value == 1)).all())


class Augment(Protocol):
    """A random change of raw inputs (n, ...), drawn from the given generator; ``recipe`` says it in words."""

    recipe: str

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class Batch:
    """One batch, in sample order.

    Attributes:
        ids: int64 (n,), the position of each sample in its split.
        inputs: raw inputs, a tensor (n, ...) (images: float32 in [0, 1]), or a dict or a tuple of tensors; images of
            several sizes are a list of tensors (channels, height, width).
        labels: as the task reads them: int64 (n,) of classes, (n, t) of sequences, else (n, ...).
        mask_key: which of the inputs says where padded sequences hold tokens.
    """

    ids: Tensor
    inputs: Any
    labels: Tensor
    mask_key: str = MASK

    def __len__(self) -> int:
        return len(self.ids)

    def pieces(self, size: int) -> Iterator[Batch]:
        """Cut the batch, in order, into batches of at most ``size``; it stays whole where it is no larger."""
        if len(self) <= size:
            yield self
            return
        for start in range(0, len(self), size):
            some = slice(start, start + size)
            yield Batch(self.ids[some], some_of(self.inputs, some), self.labels[some], self.mask_key)

    @property
    def mask(self) -> Tensor | None:
        """bool (n, t): where padded sequences hold tokens; None if nothing is padded."""
        return mask_of(self.inputs, self.mask_key)


class CropFlip:
    """Shift every image by up to ``pad`` pixels (zeros come in), and mirror every second one if ``flip``.

    On images (n, channels, height, width). With pad 4 and flip this is the usual augmentation of CIFAR.
    """

    def __init__(self, pad: int, *, flip: bool = False) -> None:
        self.pad, self.flip = pad, flip
        self.recipe = f"random crop after padding by {pad}" + (", random horizontal flip" if flip else "")

    def __call__(self, inputs: Any, generator: torch.Generator) -> Any:
        if isinstance(inputs, list):  # images of several sizes
            return [self(image[None], generator)[0] for image in inputs]
        n, _, height, width = inputs.shape
        shift = torch.randint(0, 2 * self.pad + 1, (2, n, 1), generator=generator)
        rows = torch.arange(height) + shift[0]
        columns = torch.arange(width) + shift[1]
        if self.flip:
            mirrored = torch.rand((n, 1), generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        # Channels last, so that each index fetches one contiguous pixel; the result is an NCHW view of it.
        padded = pad(inputs, (self.pad,) * 4).permute(0, 2, 3, 1).contiguous()
        device = inputs.device
        one = torch.arange(n, device=device)[:, None, None]
        picked = padded[one, rows[:, :, None].to(device), columns[:, None, :].to(device)]
        return picked.permute(0, 3, 1, 2)
