"""Published weights in caches laid out by hand, as the libraries lay them out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from torch import nn

from modelstitch.models import load as models
from modelstitch.models.request import Made, Request
from modelstitch.support import downloads as published

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and no server that answers."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(published, "reachable", lambda host: False)
    return tmp_path


def lay(cache: Path, repo: str, files: dict[str, Path]) -> None:
    """A model in the cache of the hub's client: refs, blobs, and links to them in a snapshot."""
    root = cache / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    for folder in (root / "refs", root / "blobs", snapshot):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    for name, file in files.items():
        shutil.copy(file, root / "blobs" / f"blob-{name}")
        (snapshot / name).symlink_to(os.path.relpath(root / "blobs" / f"blob-{name}", snapshot))


def made(spec: str, **options: Any) -> Made:
    """What a loader gives, before it is traced."""
    weights = options.pop("weights", None)
    return models._make(models._parse(spec, weights, Request(spec, spec, **options)))


def same(one: nn.Module, other: nn.Module, but: tuple[str, ...] = ()) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[key], theirs[key]) for key in mine if not key.startswith(but or ("\0",)))


def drawn(build: Any, seed: int = 7) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def small_bert() -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        num_labels=3,
    )
    return drawn(lambda: transformers.BertForSequenceClassification(config))
