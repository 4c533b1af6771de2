"""Tokenizers of Hugging Face folders.

Loaded without code, and compared, since two networks must read the same tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import SourceError, first_line
from ...support import hashing
from ...support.optional import need
from ...support.reading import read_json

LENGTH = 32  # tokens of a sample where nobody asks for another number
_SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_PROBED = 4096  # ids whose text is read again by another tokenizer to see whether it splits alike


class Tokenizer:
    """Text to ids.

    Attributes:
        name: the folder's name.
        vocabulary: {token: id}, added tokens included.
        special: {"pad": id, ...} of those the tokenizer has: bos, eos, unk, sep, pad, cls, mask.
        before, after: the ids that it puts around every text ([CLS] and [SEP], a beginning of sequence, or none).
    """

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self.name = inner, name
        self.vocabulary: dict[str, int] = dict(inner.get_vocab())
        found = {key: getattr(inner, f"{key}_token_id", None) for key in _SPECIAL}
        self.special: dict[str, int] = {key: int(value) for key, value in found.items() if value is not None}
        self.before, self.after = self._around()

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """The tokenizer of a local folder.

        Raises:
            SourceError: if the folder holds none, it needs code of its own, or it cannot be read.
            MissingExtraError: if transformers is not installed.
        """
        folder = Path(folder)
        if not holds_tokenizer(folder):
            raise SourceError(
                f"The folder {str(folder)!r} holds no tokenizer: expected {' or '.join(_FILES[:2])}; save it there "
                "with tokenizer.save_pretrained()."
            )
        try:
            stated = read_json(folder / "tokenizer_config.json")
        except OSError:
            stated = {}  # optional
        except ValueError as error:
            raise SourceError(
                f"The tokenizer of {str(folder)!r} cannot be read (tokenizer_config.json: {error}): expected files "
                "that save_pretrained() wrote."
            ) from error
        if "auto_map" in stated:
            raise SourceError(
                f"The tokenizer of {str(folder)!r} needs trust_remote_code: refused; use one that transformers "
                f"itself holds."
            )
        transformers: Any = need("transformers")
        try:
            inner = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers, tokenizers and the parsers below them each have errors of their own
            raise SourceError(
                f"The tokenizer of {str(folder)!r} cannot be read ({first_line(error)}): expected files that "
                "save_pretrained() wrote."
            ) from error
        return cls(inner, folder.resolve().name)

    @property
    def pad(self) -> int:
        """The id that fills short samples; any will do, since masks hide it."""
        return self.special.get("pad", self.special.get("eos", 0))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of vocabulary and special tokens: hex, 16 digits."""
        content = [sorted(self.vocabulary.items()), sorted(self.special.items()), self.before, self.after]
        return hashing.of(json.dumps(content), digits=16)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens around it."""
        return [list(ids) for ids in self._inner(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens by their names."""
        return str(self._inner.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def batch(self, texts: Sequence[str], length: int) -> dict[str, Any]:
        """The inputs of a text tower: ids and masks (n, length), special tokens around each text."""
        found = self._inner(
            list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt", verbose=False
        )
        return {key: value for key, value in found.items() if key in ("input_ids", "attention_mask")}

    def difference(self, other: Tokenizer) -> str:
        """In which way another tokenizer is not the same, in words; empty if it is.

        Compared are the vocabularies, the special tokens, and how the texts of the vocabulary are split (merges and
        normalisation differ where those differ).
        """
        if self.vocabulary != other.vocabulary:
            sizes = len(self.vocabulary), len(other.vocabulary)
            if sizes[0] != sizes[1]:
                return f"their vocabularies have {sizes[0]:,} and {sizes[1]:,} tokens"
            token = min(t for t, i in self.vocabulary.items() if other.vocabulary.get(t) != i)
            there = other.vocabulary.get(token, "missing")
            return f"the token {token!r} is {self.vocabulary[token]} in one and {there} in the other"
        for key in _SPECIAL:
            one, two = self.special.get(key, "none"), other.special.get(key, "none")
            if one != two:
                return f"their {key} tokens are {one} and {two}"
        if (self.before, self.after) != (other.before, other.after):
            return "they put other special tokens around a text"
        for text, mine, theirs in zip(self._probes, self.encode(self._probes), other.encode(self._probes)):
            if mine != theirs:
                return f"they split {text[:40]!r} into other tokens, {len(mine)} and {len(theirs)}"
        return ""

    @cached_property
    def _probes(self) -> list[str]:
        ids = sorted(set(self.vocabulary.values()) - set(self.special.values()))[:_PROBED]
        return [self._inner.decode(ids[start : start + 64]) for start in range(0, len(ids), 64)]

    def _around(self) -> tuple[list[int], list[int]]:
        whole = list(self._inner("a", verbose=False)["input_ids"])
        bare = list(self._inner("a", add_special_tokens=False, verbose=False)["input_ids"])
        for at in range(len(whole) - len(bare) + 1):
            if bare and whole[at : at + len(bare)] == bare:
                return whole[:at], whole[at + len(bare) :]
        return [], []


@dataclass(frozen=True)
class TextFacts:
    """How samples were made of text: by which tokenizer, for which task, of how many tokens."""

    tokenizer: Tokenizer
    task: str
    length: int


def bare_task(folder: str | Path) -> str:
    """Say "features" where a folder's config names an architecture without a head; empty elsewhere."""
    try:
        named = read_json(Path(folder) / "config.json")["architectures"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ""
    return "features" if is_bare(str(named)) else ""


def is_bare(architecture: str) -> bool:
    """Whether transformers' name of a class is that of a network without a head.

    BertModel, CLIPVisionModelWithProjection.
    """
    paired = architecture in (
        "CLIPModel",
        "SiglipModel",
        "Siglip2Model",
    )  # two towers, which are compared by classes' names
    return architecture.endswith(("Model", "ModelWithProjection")) and "LMHead" not in architecture and not paired


def holds_tokenizer(folder: str | Path) -> bool:
    """Whether a folder holds the files of a tokenizer."""
    return any((Path(folder) / name).is_file() for name in _FILES)
