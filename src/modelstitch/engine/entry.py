"""What is looked at before anything is fitted or measured.

One batch of each split and every view, read twice, and the labels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor

from ..data.batch import Batch, CropFlip, all_labels, chunks, hash_parts
from ..data.data import SPLITS, Data, Split
from ..data.labels import IGNORED
from ..data.readers.folder import Files
from ..data.subsets import Images, Picked, Relabelled, Several, Tokens
from ..errors import DataError, NetworkError, StitchError, first_line
from ..models.token_view import check_text
from ..support import hashing
from .senders import check_view, kind_of

if TYPE_CHECKING:
    from ..network import Network

_BATCH, _PIECE, _BYTES = 128, 16, 64 * 2**20  # samples read twice, in pieces, until these bytes are reached
_VIEWED = 32
_VIEW_OFF = 1e-3  # of the largest value: what kernels of other batch sizes may differ by
_IDS = ("decoder_input_ids", "input_ids")  # the first that is there is what a language model goes on with


@dataclass
class _Seen:
    """What of some data was looked at already: labels, and the views of these networks."""

    networks: WeakSet[Any] = field(default_factory=WeakSet)
    labels: bool = False


_SEEN: WeakKeyDictionary[Data, _Seen] = WeakKeyDictionary()  # data that were read twice


def check_entry(networks: Sequence[Network], data: Data, *, second: Data | None = None, labels: bool = True) -> None:
    """Refuse data that are not what networks take, or not the same at every read. Every question passes here.

    Args:
        networks: that will see the data.
        second: another test set to measure on.
        labels: whether labels are used; similarity looks at none.

    Raises:
        DataError: where a split changes from read to read, tokens or tasks differ, or labels are the input ids.
        NetworkError: where a network has no numbers, samples do not fit it, or its view changes from call to call.
    """
    _check_numbers(networks)
    check_text(networks, data, labels=labels)
    with _own_randomness():
        if data not in _SEEN:
            for split in SPLITS:
                _check_reads(data, split)
            _check_augment(data)
            _SEEN[data] = _Seen()
        if second is not None and second not in _SEEN:
            _check_reads(second, "test")
        seen = _SEEN[data]
        if labels and not seen.labels:
            for split in SPLITS:
                if data.task.by_position:
                    _check_shift(next(data.batches(split, _VIEWED)), split, data.name)
            seen.labels = True
        _check_sizes(networks, data)
        if any(
            network not in seen.networks for network in networks
        ):  # all of them: every network sees the same samples
            for network in networks:
                _check_view(network, data)
                seen.networks.add(network)


def _check_numbers(networks: Sequence[Network]) -> None:
    for network in networks:
        if not network.was_run:
            raise NetworkError(
                f"The network {network.name!r} was traced on the meta device, where nothing has a number: expected "
                "weights; load them into its module (to_empty(device='cpu'), load_state_dict), and make a Network of "
                "that and of an example with numbers."
            )


def _check_reads(data: Data, split: Split) -> None:
    if _fixed(data.dataset(split)):
        return
    size = data.size(split)
    first = list(_read(data, split))
    again = list(_read(data, split, len(first)))
    if data.size(split) != size:
        raise DataError(
            f"The {split} split of {data.name} had {size:,} samples before it was read and has {data.size(split):,} "
            "now: expected a fixed number; let the dataset not change when it is read."
        )
    known = all_labels(data.dataset(split), scan=False)
    for ids, one, other in zip(chunks(_looked(size), _PIECE), first, again):
        among = f"{int(ids[0])} to {int(ids[-1])}"
        if one[:2] != other[:2]:
            what = "inputs" if one[0] != other[0] else "labels"
            raise DataError(
                f"The {split} split of {data.name} is random: of samples {among}, read twice, the {what} differ; "
                "expected the same at every read, or networks are measured on other samples than one another. Take "
                "random changes out of the dataset (augment= of ms.Data makes those of the fit split, by a seed), or "
                "draw them by the sample's index."
            )
        if known is not None and not torch.equal(data.task.take(known[ids].cpu(), split, whole=False), one[2].cpu()):
            raise DataError(
                f"The {split} split of {data.name} has a list of labels that its samples do not have (among samples "
                f"{among}): expected "
                "the same in both; give the dataset's attribute labels another name, or put into it what [i] gives."
            )


def _check_augment(data: Data) -> None:
    if data.augment is None or isinstance(data.augment, CropFlip):
        return
    one, other = (_digest(next(data.batches("fit", _PIECE, seed=0, augment=True)).inputs) for _ in range(2))
    if one != other:
        raise DataError(
            f"The augmentation of {data.name} draws from randomness of its own: with one seed it gave two results; "
            "expected that it draws from the generator it is given, augment(inputs, generator)."
        )


def _fixed(dataset: Any) -> bool:
    """Whether a dataset is one of those of this library that hold or read the same samples always."""
    while isinstance(dataset, Picked | Relabelled):
        dataset = dataset.dataset
    return isinstance(dataset, Images | Several | Tokens | Files)


def _looked(size: int) -> Tensor:
    """Which samples are read twice.

    The first ones, then some up to the last, since sets are often joined of unlike parts.
    """
    if size <= _BATCH:
        return torch.arange(size)
    begun = _BATCH // 2
    return torch.cat([torch.arange(begun), torch.linspace(begun, size - 1, _BATCH - begun, dtype=torch.float64).long()])


def _read(data: Data, split: Split, pieces: int | None = None) -> Iterator[tuple[str, str, Tensor]]:
    """Digests of inputs and labels, and the labels, of some pieces of a split."""
    total = 0
    for i, ids in enumerate(chunks(_looked(data.size(split)), _PIECE)):
        batch = data.chosen(split, ids)
        if i == pieces or (pieces is None and total > _BYTES):
            return
        total += _bytes(batch.inputs)
        yield _digest(batch.inputs), _digest(batch.labels), batch.labels


def _check_view(network: Network, data: Data) -> None:
    batch = next(
        data.batches("val", max(2, min(_VIEWED, _BYTES // 4 // max(1, _bytes(next(data.batches("val", 1)).inputs)))))
    )
    given, results = _digest(batch.inputs), []
    for _ in range(2):
        inputs = _copied(batch.inputs)
        try:
            results.append(_digest(network.view(inputs)))
        except Exception:  # a view may raise anything, and does so again where it is used
            return
        if _digest(inputs) != given:
            raise NetworkError(
                f"The view of {network.name!r} changes the samples that it is given: expected a new tensor, since all "
                "networks see the same samples; compute out of place, or begin with samples.clone()."
            )
    if results[0] != results[1]:
        raise NetworkError(
            f"The view of {network.name!r} is random: called twice on the same samples, its results differ; expected "
            "the same at every call. Take random changes out of it (augment= of ms.Data makes those of the fit split, "
            "by a seed), and set modules in it to eval()."
        )
    _check_view_of_one(network, batch.inputs)


def _check_view_of_one(network: Network, inputs: Any) -> None:
    """Refuse a view that takes from the other samples of a batch, such as their mean.

    What is seen would depend on the batch.
    """
    if not isinstance(inputs, Tensor):
        return
    try:
        whole, one = network.view(_copied(inputs)), network.view(_copied(inputs[:1]))
    except Exception:  # as above
        return
    if not isinstance(whole, Tensor) or not isinstance(one, Tensor) or one.shape != whole[:1].shape:
        return
    if len(whole) != len(inputs):  # told of where a batch is prepared
        return
    expected = whole[:1].double()
    if not bool(expected.isfinite().all()):  # told of where the network answers
        return
    off = (one.double() - expected).abs().max() if one.numel() else 0.0
    if not bool(torch.as_tensor(off <= _VIEW_OFF * max(1.0, float(expected.abs().max())))):
        raise NetworkError(
            f"The view of {network.name!r} gives a sample other values alone than in a batch of {len(inputs)}: "
            f"expected each sample "
            "prepared by itself; take means and deviations from the training set, once, not from the batch."
        )


def _check_sizes(networks: Sequence[Network], data: Data) -> None:
    """Refuse a network that was traced at another size than it sees the data at.

    What its layers' shapes decide, adapters and class noise above all, is worked out at the size of the trace.

    Raises:
        NetworkError: with both sizes, or with what is wrong with a view.
    """
    batch = next(iter(data.batches("val", 2)))
    for network in networks:
        try:
            seen = network.view(batch.inputs)
        except StitchError:
            raise
        except Exception as error:  # a view of the user's own may raise anything
            raise NetworkError(
                f"The view of {network.name!r} fails on a batch of the data ({type(error).__name__}: "
                f"{first_line(error)}): expected a function of a batch, here {_held(batch.inputs)}; give a transform "
                "of single images as it is, without a function around it."
            ) from error
        check_view(network, seen, len(batch))
        network.check_sample(seen)
        _check_size(network, seen)


def _check_size(network: Network, seen: Any) -> None:
    try:
        found = network.data_input(seen)
    except NetworkError:
        return
    wanted, shape = network.sample_shape, tuple(found.shape[1:])
    comparable = found.is_floating_point() and len(shape) == len(wanted) > 1  # ids and vectors are told of by a forward
    if not comparable or shape == wanted or (len(shape) > 2 and shape[0] != wanted[0]):
        return
    raise NetworkError(
        f"The network {network.name!r} was traced with samples of {wanted}, the data give {shape}: expected one size, "
        "at which layers can meet; give it a view= that resizes, such as Normalise(mean, std, size=...) (--mean and "
        "--std on the command line), or an example of the data's size."
    )


def _held(inputs: Any) -> str:
    if isinstance(inputs, Tensor):
        return f"a tensor {tuple(inputs.shape)} of {inputs.dtype}"
    return f"{kind_of(inputs)} of {', '.join(map(str, inputs))}" if isinstance(inputs, dict) else kind_of(inputs)


def _check_shift(batch: Batch, split: str, name: str) -> None:
    """Refuse labels that are the ids of the same position: outputs are held against labels as they stand."""
    found = _ids(batch)
    if found is None:
        return
    key, ids = found
    labels, counted = batch.labels, batch.labels != IGNORED
    if (
        not bool(counted.any())
        or not bool((ids == labels)[counted].all())
        or bool((ids[counted] == ids[counted][0]).all())
    ):
        return
    if bool((ids[:, 1:] == labels[:, :-1])[counted[:, :-1]].all()):  # one token over and over
        return
    raise DataError(
        f"The labels of the {split} split of {name} are its {key}, unshifted: expected the next token at each "
        "position, since scores are held against labels position by position (models of transformers shift within "
        f"their own loss, not their logits); shift them in the dataset, labels[:-1] = {key}[1:] and labels[-1] = -100; "
        "for a masked model hide the tokens that are asked for."
    )


def _ids(batch: Batch) -> tuple[str, Tensor] | None:
    """What looks like the ids of tokens beside labels of tokens."""
    labels = batch.labels
    fit = [
        (key, value)
        for key, value in _named(batch.inputs)
        if isinstance(value, Tensor) and value.shape == labels.shape and not value.is_floating_point()
    ]
    return fit[0] if labels.ndim == 2 and len(fit) == 1 else None


def _named(inputs: Any) -> list[tuple[str, Any]]:
    """Inputs that may be ids: the one that is called so, else all that no mask or position is called."""
    if not isinstance(inputs, Mapping):
        return [("inputs", inputs[0] if isinstance(inputs, tuple) and inputs else inputs)]
    named = [(key, inputs[key]) for key in _IDS if key in inputs][:1]
    return named or [
        (key, value) for key, value in inputs.items() if not any(w in key for w in ("mask", "type", "position"))
    ]


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Leave the generators of torch, numpy and Python as they were, whatever a dataset draws."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _digest(value: Any) -> str:
    digest = hashing.Hash()
    hash_parts(value, digest)
    return digest.hex()


def _bytes(inputs: Any) -> int:
    if isinstance(inputs, Mapping):
        return sum(map(_bytes, inputs.values()))
    if isinstance(inputs, tuple | list):
        return sum(map(_bytes, inputs))
    return inputs.nbytes if isinstance(inputs, Tensor) else 0


def _copied(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {key: _copied(value) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return type(inputs)(map(_copied, inputs))
    return inputs.clone() if isinstance(inputs, Tensor) else inputs
