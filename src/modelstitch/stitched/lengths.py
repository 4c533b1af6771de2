"""Texts of other lengths than those that networks were traced with: padded to a length that is, under their mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree

from ..data.batch import MASK
from ..errors import StitchError, TraceError, first_line
from ..models.token_view import TokenView, resized
from ..network import Network

IDS = "input_ids"
_known: WeakKeyDictionary[Network, dict[int, Network]] = WeakKeyDictionary()


class Stitching(Protocol):
    """What is asked of a stitched model here."""

    seam: str

    def predict(self, raw: Any) -> Tensor:
        """The output for raw samples."""
        ...

    def networks(self, what: str) -> tuple[Network, Network]:
        """Both donors."""
        ...

    def between(self, bottom: Network, top: Network) -> Stitching:
        """The same map between other traces."""
        ...


def fitted(model: Stitching, networks: Sequence[Network | None], inputs: Any) -> tuple[Stitching, Any, int]:
    """A model for texts of this length, the texts as it reads them, and how many tokens of its output are theirs.

    Padding fills up to the length of the trace, or to twice that, four times, and so on, where both donors read a mask
    that hides it; else they are traced at the very length.

    Returns:
        The model itself and 0 where inputs are no texts of another length.

    Raises:
        StitchError: a donor takes no text of that length.
    """
    ids = inputs.get(IDS) if isinstance(inputs, Mapping) else inputs
    low, high = networks
    if low is None or high is None or not reads_tokens(low) or not isinstance(ids, Tensor) or ids.ndim != 2:
        return model, inputs, 0
    tokens, traced = ids.shape[1], low.sample_shape[0]
    if tokens == traced == high.sample_shape[0]:
        return model, inputs, 0
    room = _room(low, high, tokens) if _masked(low) and _masked(high) else tokens
    if room == traced == high.sample_shape[0]:
        return model, _filled(inputs, ids, room, high), tokens
    for length in dict.fromkeys((room, tokens)):
        try:
            wider = model.between(at_length(low, length), at_length(high, length))
        except (TraceError, RuntimeError, IndexError, ValueError) as error:
            last: Exception = error
            continue
        return wider, _filled(inputs, ids, length, high), tokens
    raise StitchError(
        f"{model.seam} takes no text of {tokens} tokens ({first_line(last)}): "
        "expected no more than both networks have positions for; shorten it."
    ) from last


def cut(output: Tensor, tokens: int) -> Tensor:
    """What of an output belongs to a text of so many tokens, where it has a place for each; all of it for 0."""
    return output[:, :tokens] if tokens and output.ndim > 2 else output


def reads_tokens(network: Network) -> bool:
    """Whether the samples of a network are sequences of ids."""
    return len(network.sample_shape) == 1 and not network.data_input(network.batch_of(1)).is_floating_point()


def at_length(network: Network, length: int) -> Network:
    """The same network, traced with texts of another length; it is kept as long as the network is.

    Raises:
        TraceError: as at construction.
    """
    if network.sample_shape == (length,):
        return network
    kept = _known.setdefault(network, {})
    if length not in kept:
        kept[length] = resized(network, length)
    return kept[length]


def _masked(network: Network) -> bool:
    """Whether a network reads which tokens are none."""
    example = network.batch_of(1)
    return isinstance(example, Mapping) and MASK in example


def _room(low: Network, high: Network, tokens: int) -> int:
    """The traced length, doubled until the tokens fit; no more than either network says that it has positions for."""
    length = max(low.sample_shape[0], high.sample_shape[0])
    while length < tokens:
        length *= 2
    stated = (getattr(getattr(n.module, "config", None), "max_position_embeddings", None) for n in (low, high))
    return max(tokens, min([length, *(limit for limit in stated if isinstance(limit, int))]))


def _filled(inputs: Any, ids: Tensor, length: int, top: Network) -> Any:
    """Texts filled up behind their end; their mask says where."""
    short = length - ids.shape[1]
    if not short:
        return inputs
    tokenizer = top.view.tokenizer if isinstance(top.view, TokenView) else None
    held = dict(inputs) if isinstance(inputs, Mapping) else {IDS: inputs}
    held.setdefault(MASK, torch.ones_like(ids))
    held[IDS] = F.pad(ids, (0, short), value=0 if tokenizer is None else tokenizer.pad)
    return {
        name: F.pad(value, (0, short)) if name != IDS and value.shape[:2] == ids.shape else value
        for name, value in pytree.tree_map(torch.as_tensor, held).items()
    }
