"""Networks of timm: published weights out of its cache, and folders as it pushes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file
from torch import nn

import modelstitch as ms
from hub_caches import drawn, lay, made, same
from modelstitch.errors import SourceError


@pytest.mark.slow
def test_timm(caches: Path) -> None:
    module = drawn(lambda: timm.create_model("test_resnet"))
    save_file(module.state_dict(), caches / "model.safetensors")
    lay(caches, "timm/test_resnet.r160_in1k", {"model.safetensors": caches / "model.safetensors"})
    found = made("timm:test_resnet")
    assert (found.origin, found.drawn) == ("timm test_resnet.r160_in1k", "")
    assert same(found.module, module)
    assert same(made("timm:test_resnet.r160_in1k").module, module)
    other = made("timm:test_resnet", classes=10)
    assert other.drawn == "head of 10 classes"
    assert same(other.module, module, but=("fc.",))
    assert same(made("timm:test_resnet", classes=10).module, other.module)  # the head by its seed
    assert made("timm:test_resnet?classes=0").drawn == ""
    net = ms.load("timm:test_resnet", size=32)
    assert net.weights == f"timm test_resnet.r160_in1k, sha256 {ms.network.fingerprint(net.module)}"


def timm_folder(tmp_path: Path) -> tuple[Path, nn.Module]:
    module = drawn(lambda: timm.create_model("test_resnet", num_classes=7))
    seen = {"input_size": [3, 32, 32], "mean": [0.4] * 3, "std": [0.2] * 3, "interpolation": "bicubic", "crop_pct": 1.0}
    config = {"architecture": "test_resnet", "num_classes": 7, "pretrained_cfg": seen}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    save_file(module.state_dict(), tmp_path / "mine" / "model.safetensors")
    return tmp_path / "mine", module


@pytest.mark.slow
def test_a_folder_of_timm(tmp_path: Path) -> None:
    folder, module = timm_folder(tmp_path)
    net = ms.load(f"timm:{folder}")
    assert same(net.module, module)
    assert net.output_shape == (7,)
    assert net.weights.startswith(f"folder {folder}, sha256 ")
    assert "mean=[0.4, 0.4, 0.4]" in net.view_in_words
    with pytest.raises(SourceError, match="holds a model of timm: expected one of transformers; write timm:"):
        ms.load(f"hf:{folder}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        SourceError, match=r"holds no weights that can be read: expected model.safetensors or pytorch_model.bin"
    ):
        ms.load(f"timm:{folder}")
    assert ms.load(f"timm:{folder}", weights="random").weights.startswith("random, seed 0")
