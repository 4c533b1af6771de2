"""Networks of torchvision: published weights out of its cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from hub_caches import drawn, made, same


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_torchvision(caches: Path, name: str) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    module = drawn(lambda: torchvision.models.get_model(name, weights=None, **options)).eval()
    file = torchvision.models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
    folder = caches / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(module.state_dict(), folder / file)
    found = made(f"torchvision:{name}")
    assert (found.origin, found.drawn) == (f"torchvision {name} IMAGENET1K_V1", "")
    assert same(found.module, module)
    assert getattr(found.module, "transform_input", True)  # as torchvision sets it with its own weights
    other = made(f"torchvision:{name}", classes=10)
    assert other.drawn == "head of 10 classes"
    assert same(other.module, module, but=("fc.", "classifier.1."))
    assert getattr(other.module, "transform_input", True)
