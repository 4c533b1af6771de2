"""How a network wants to see text: which tensors, by which tokenizer, of how many tokens; and who may read whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..data.data import Data, check_data
from ..data.readers.tokenizer import TextFacts, Tokenizer
from ..errors import DataError
from ..network import Network


@dataclass(frozen=True)
class TokenView:
    """Token batches: the tensors a network reads, by name, out of a dict of int64 tensors (n, t).

    Attributes:
        names: of the tensors; the first holds the ids.
        task: what the network was made for: "causal-lm", "masked-lm" or "text-classification"; empty if unknown.
        tokenizer: the network's own; None if its folder holds none.
        length: the number of tokens it was traced with; None for any.
    """

    names: tuple[str, ...]
    task: str = ""
    tokenizer: Tokenizer | None = None
    length: int | None = None

    def __call__(self, inputs: Mapping[str, Tensor] | Tensor) -> dict[str, Tensor]:
        """The named tensors; a bare tensor is taken for the ids, all of them kept.

        Raises:
            DataError: if one is missing, or the samples have another length.
        """
        if isinstance(inputs, Tensor):
            inputs = {self.names[0]: inputs}
        found = dict(inputs)
        if "attention_mask" in self.names and "attention_mask" not in found and self.names[0] in found:
            found["attention_mask"] = torch.ones_like(found[self.names[0]])
        missing = [name for name in self.names if name not in found]
        if missing:
            raise DataError(f"The network reads {', '.join(self.names)}: found {', '.join(found)} in the data.")
        if isinstance(read := found[self.names[0]], Tensor) and (read.is_floating_point() or read.ndim != 2):
            raise DataError(
                f"The network reads text, the data hold samples of {tuple(read.shape[1:])} of "
                f"{str(read.dtype).removeprefix('torch.')}: expected tokens; choose data such as text:FILE."
            )
        tokens = found[self.names[0]].shape[1]
        if self.length is not None and tokens != self.length:
            raise DataError(
                f"The network was traced with {self.length} tokens, the data have {tokens}: expected the same; load it "
                f"with '?size={tokens}', or the data with '?length={self.length}'."
            )
        return {name: found[name] for name in self.names}

    def __str__(self) -> str:
        by = "" if self.tokenizer is None else f" by the tokenizer {self.tokenizer.name} ({self.tokenizer.fingerprint})"
        return f"{' and '.join(self.names)}{by}{'' if self.length is None else f', {self.length} tokens'}"

    def describe(self) -> dict[str, Any]:
        """What a record states about the view."""
        return {
            "view": "tokens",
            "names": list(self.names),
            "task": self.task,
            "length": self.length,
            "tokenizer": self.tokenizer.fingerprint if self.tokenizer is not None else None,
        }


def resized(network: Network, length: int) -> Network:
    """The same module traced with texts of another length.

    Args:
        network: whose samples are sequences of ids.
        length: tokens.

    Raises:
        TraceError: the module takes no such text, or computes something else for it.
    """
    before = network.sample_shape[0]

    def other(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or leaf.ndim < 2 or leaf.shape[1] != before:
            return leaf
        return leaf[:, torch.arange(length, device=leaf.device) % before]

    view = network.view if network.has_view else None
    if isinstance(view, TokenView):
        view = replace(view, length=length)
    example, (data, output) = network.example
    found = Network(
        network.module,
        pytree.tree_map(other, example),
        network.name,
        data=data,
        output=output,
        view=view,
        trained_on=network.trained_on,
        weights=network.weights,
    )
    found.has_head = network.has_head
    return found


def check_text(networks: Sequence[Network], data: Data, *, labels: bool = True) -> None:
    """Refuse networks that read other tokens than the data hold, or than one another, or are made for another task.

    Args:
        labels: whether errors are to be measured; similarities look at none.

    A network of the user's own, without a view that carries a tokenizer, is the user's to check.

    Raises:
        DataError: naming the networks and the first difference.
    """
    check_data(data)
    headless = [network.name for network in networks if not network.has_head]
    scored = labels and data.task.needs_head
    if scored and headless and len(headless) == len(networks):
        raise DataError(
            f"The network {headless[-1]!r} has no head: it returns features, no scores of the labels' classes "
            "(logits), so that no error can be measured; expected a network with a head, or compare layers with "
            "similarity(), which needs no labels."
        )
    if scored and data.text is not None and data.text.task == "features":
        raise DataError(
            f"The text {data.name!r} has no labels (task=features): expected some to measure errors on; choose "
            "'?task=' of the text, or compare the networks with similarity()."
        )
    facts = data.text
    known = None if facts is None else (f"The data {data.name!r}", facts.tokenizer)
    for network in networks:
        if isinstance(network.view, TokenView):
            own = _check_tokenizer(network.name, network.view, known)
            known = known or (f"The network {network.name!r}", own)
            if facts is not None:
                _check_task(network.name, network.view.task, facts, data.name, labels=scored)


def _check_tokenizer(name: str, view: TokenView, known: tuple[str, Tokenizer] | None) -> Tokenizer:
    """The tokenizer of a network's view, if it is the one that is known of others."""
    if view.tokenizer is None:
        raise DataError(
            f"The network {name!r} has no tokenizer in its folder: expected one, to know that its tokens are those "
            "of the data; save it there with tokenizer.save_pretrained()."
        )
    if known is not None and (words := known[1].difference(view.tokenizer)):
        raise DataError(
            f"{known[0]} and the network {name!r} have different tokenizers ({words}): expected the same one, "
            "since a stitched network reads one text; choose networks that share a tokenizer."
        )
    return view.tokenizer


def _check_task(name: str, task: str, facts: TextFacts, data: str, *, labels: bool) -> None:
    if task == "features" and _unfinished(facts):
        raise DataError(
            f"The network {name!r} reads whole texts between its special tokens, the samples of {data!r} are "
            f"made for {facts.task}: expected them whole; add '?task=features' to the text."
        )
    if labels and task not in ("", "features", facts.task):
        raise DataError(
            f"The network {name!r} is made for {task}, the labels of {data!r} for {facts.task}: expected "
            "the same task; choose with '?task=' of the model or of the text."
        )


def _unfinished(facts: TextFacts) -> bool:
    """Whether samples lack what the tokenizer puts behind a text, or hide some of its tokens."""
    return facts.task == "masked-lm" or (facts.task == "causal-lm" and bool(facts.tokenizer.after))
