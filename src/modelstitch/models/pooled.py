"""Sentence encoders: one vector for a text, from the states of its tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

POOLS = ("mean", "max", "first")


def pooled(module: nn.Module, how: str) -> nn.Module:
    """Let a network of transformers give one vector for each text; its layers keep their names.

    Args:
        module: gives ``last_hidden_state`` (n, tokens, width); it is changed.
        how: "mean" or "max" over the tokens that are there, or the "first" token.

    Returns:
        The module.
    """
    kind: Any = type(module)

    class OneVector(kind):  # type: ignore[misc]
        """The network with its states pooled."""

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            states = super().forward(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return over_tokens(states, attention_mask, how)

    OneVector.__name__ = kind.__name__
    module.__class__ = OneVector
    return module


def over_tokens(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector for each text.

    Args:
        states: (n, tokens, width).
        mask: (n, tokens), 1 where a text has a token.
        how: as for ``pooled``.

    Returns:
        (n, width).
    """
    if how == "first":
        return states[:, 0]
    there = mask[..., None] != 0
    if how == "max":
        return states.masked_fill(~there, torch.finfo(states.dtype).min).amax(1)
    return torch.where(there, states, 0).sum(1) / there.sum(1).clamp(min=1)
