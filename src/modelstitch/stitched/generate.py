"""Texts that a stitched causal language model writes, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.batch import MASK
from ..data.readers.tokenizer import Tokenizer
from ..errors import StitchError
from ..models.token_view import TokenView
from ..network import Network
from .lengths import IDS, Stitching, fitted, reads_tokens

_SAME, _SAME_IN_HALF = 1e-4, 0.03  # of the largest score, by which scores may differ that later tokens must not change


def generate(
    model: Stitching,
    prompt: str | Sequence[str] | Tensor,
    tokens: int,
    *,
    stop: int | None,
    temperature: float,
    seed: int,
) -> list[str] | Tensor:
    """As ``Stitched.generate``."""
    low, high = model.networks("write with")
    if tokens < 1 or not temperature >= 0:
        raise StitchError(
            f"{tokens} tokens at the temperature {temperature} cannot be written: expected 1 token at least, and 0 or "
            "a positive temperature."
        )
    for network in (low, high):
        if not reads_tokens(network):
            raise StitchError(
                f"The network {network.name!r} reads samples of {network.sample_shape}, no sequence of ids: expected a "
                "causal language model on both sides."
            )
    if len(high.output_shape) != 2 or high.output_shape[0] != high.sample_shape[0]:
        raise StitchError(
            f"The network {high.name!r} gives {high.output_shape} for a text, no scores for each next token: expected "
            "a causal language model on top."
        )
    tokenizer = high.view.tokenizer if isinstance(high.view, TokenView) else None
    rows, lengths = _rows(prompt, tokenizer, high)
    whole = torch.cat([rows, rows.new_zeros(len(rows), tokens)], 1)
    wider, _, _ = fitted(model, (low, high), _inputs(model, whole, torch.ones_like(whole)))
    _check_causal(wider, whole, lengths)
    end = _end(high) if stop is None else stop
    written = _written(wider, whole, lengths, tokens, end, temperature, torch.Generator().manual_seed(seed))
    if isinstance(prompt, Tensor):
        return written
    assert tokenizer is not None
    return [tokenizer.decode(_until(row[: n + tokens].tolist(), n, end)) for row, n in zip(written, lengths.tolist())]


def _written(
    model: Stitching,
    ids: Tensor,
    lengths: Tensor,
    tokens: int,
    end: int | None,
    temperature: float,
    chance: torch.Generator,
) -> Tensor:
    """The ids with so many more behind each text; behind its end a text goes on with its last token."""
    ids, at, texts, places = ids.clone(), lengths.clone(), torch.arange(len(ids)), torch.arange(ids.shape[1])
    over = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(tokens):
        mask = (places < at[:, None]).long()
        scores = model.predict(_inputs(model, ids, mask)).float().cpu()[texts, at - 1]
        if temperature:
            following = torch.multinomial((scores / temperature).softmax(-1), 1, generator=chance)[:, 0]
        else:
            following = scores.argmax(-1)
        if end is not None:
            following = torch.where(over, end, following)
            over |= following == end
        ids[texts, at] = following
        at += 1
        if bool(over.all()):
            break
    if end is not None and bool(over.all()):
        ids = ids[:, : int(at.max())]
    return ids


def _rows(prompt: Any, tokenizer: Tokenizer | None, top: Network) -> tuple[Tensor, Tensor]:
    """The ids of prompts side by side, shorter ones filled up behind, and how many each has."""
    if isinstance(prompt, Tensor):
        if prompt.ndim != 2 or prompt.is_floating_point() or not prompt.shape[1]:
            raise StitchError(
                f"The prompt must be ids of shape (texts, tokens), found {tuple(prompt.shape)} of {prompt.dtype}: give "
                "texts, or ids with a token each at least."
            )
        return prompt.cpu().long(), torch.full((len(prompt),), prompt.shape[1])
    if tokenizer is None:
        raise StitchError(
            f"The network {top.name!r} has no tokenizer to read a prompt with: expected ids, a tensor of shape (texts, "
            "tokens)."
        )
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    each = [[*tokenizer.before, *ids] for ids in tokenizer.encode(texts)]
    if not each or not all(each):
        raise StitchError("A prompt holds no token: expected one at least in each text.")
    lengths = torch.tensor(list(map(len, each)))
    rows = torch.full((len(each), int(lengths.max())), tokenizer.pad)
    for row, ids in zip(rows, each):
        row[: len(ids)] = torch.tensor(ids)
    return rows, lengths


def _inputs(model: Stitching, ids: Tensor, mask: Tensor) -> Any:
    """Ids and their mask as both donors' views read them."""
    plain = all(isinstance(network.batch_of(1), Tensor) for network in model.networks("write with"))
    return ids if plain else {IDS: ids, MASK: mask}


def _check_causal(model: Stitching, ids: Tensor, lengths: Tensor) -> None:
    """Refuse a model whose score of a token changes with a later one."""
    row, n = ids[:1], int(lengths[0])
    other = row.clone()
    other[:, n:] = (other[:, n:] + 1) % 2
    one, two = (model.predict(_inputs(model, some, torch.ones_like(some)))[:, :n].float() for some in (row, other))
    half = any(network.dtype.itemsize < 4 for network in model.networks("write with"))
    if float((one - two).abs().max()) > (_SAME_IN_HALF if half else _SAME) * float(one.abs().max()):
        raise StitchError(
            f"The scores of {model.seam} for a token depend on later ones: expected causal language models on both "
            "sides, which read a text from its beginning."
        )


def _end(top: Network) -> int | None:
    """The token with which the top says that a text ends."""
    found = getattr(getattr(top.module, "generation_config", None), "eos_token_id", None)
    return found if isinstance(found, int) else None


def _until(ids: list[int], begun: int, end: int | None) -> list[int]:
    """A text up to its end, which is left out."""
    at = next((i for i, token in enumerate(ids) if i >= begun and token == end), None)
    return ids[:at]
