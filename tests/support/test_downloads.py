"""Published weights: out of caches laid out by hand as the libraries lay them out; else a sentence, and soon."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
from huggingface_hub import constants
from safetensors.torch import save_file

import modelstitch as ms
from hub_caches import drawn, empty_caches, lay, made, same, small_bert
from modelstitch.errors import SourceError
from modelstitch.models import load as models
from modelstitch.models.request import Request
from modelstitch.support import downloads as published


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and no server that answers."""
    return empty_caches(tmp_path, monkeypatch)


NOT_HAD = {
    "timm:test_vit": r"weights of timm test_vit.r160_in1k cannot be had .*`hf download timm/test_vit.r160_in1k` "
    r"elsewhere and copy",
    "torchvision:resnet18": r"weights of torchvision resnet18 IMAGENET1K_V1 cannot be had .*resnet18-f37072fd.pth "
    r"elsewhere and copy it to",
    "torchvision:resnet50?tag=IMAGENET1K_V1": "weights of torchvision resnet50 IMAGENET1K_V1 cannot be had",
    "torchvision:resnet50?tag=V7": "publishes no weights 'V7' of 'resnet50': expected one of IMAGENET1K_V1, "
    "IMAGENET1K_V2",
    "timm:test_resnet.mine": "timm publishes no weights under 'test_resnet.mine': "
    "expected one of test_resnet.r160_in1k",
    "hf:org/none": r"published weights of Hugging Face org/none cannot be had .*hf download org/none",
    "hf:org/none?random": "",
}


@pytest.mark.parametrize("spec", [spec for spec in NOT_HAD if NOT_HAD[spec]])
def test_what_cannot_be_had_says_how_to_get_it_and_soon(spec: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SourceError, match=NOT_HAD[spec]) as caught:
        made(spec)
    assert time.perf_counter() - start < 30
    assert "\n" not in str(caught.value)
    if "cannot be had" in str(caught.value):
        assert 'weights=FILE, or ask for random weights with weights="random"' in str(caught.value)


def test_a_download_comes_after_the_cache(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers is asked for what the cache lacks, and for nothing else."""
    asked: list[bool] = []
    monkeypatch.setattr(published, "reachable", lambda host: True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    module = small_bert()
    module.save_pretrained(caches / "saved")

    def download(repo: str, **options: Any) -> str:
        asked.append(bool(constants.HF_HUB_OFFLINE))
        if constants.HF_HUB_OFFLINE:
            raise FileNotFoundError("not in the cache")
        return str(caches / "saved")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert same(made("hf:org/small-bert").module, module)
    assert asked == [True, False]
    assert constants.HF_HUB_OFFLINE is False


def test_random_weights_are_asked_for(caches: Path) -> None:
    a, b = (made("timm:test_resnet", weights="random") for _ in range(2))
    assert same(a.module, b.module)
    with pytest.raises(
        SourceError, match="Random weights were asked for of 'import:mine', which brings weights of its own"
    ):
        made("import:mine", weights="random")
    request = models._parse("timm:test_resnet", "random", Request("", ""))
    assert dataclasses.asdict(request)["random"] is True


@pytest.mark.slow
def test_published_weights_of_other_classes_than_the_data_are_refused(caches: Path, digits: ms.Data) -> None:
    module = drawn(lambda: timm.create_model("test_resnet"))
    save_file(module.state_dict(), caches / "model.safetensors")
    lay(caches, "timm/test_resnet.r160_in1k", {"model.safetensors": caches / "model.safetensors"})
    with pytest.raises(SourceError, match=r"answer with 1000 classes, the data have 10: .*\?size=32&classes=10"):
        models.load_for(digits, "timm:test_resnet?size=32")
    assert models.load_for(digits, "timm:test_resnet?size=32", scored=False).output_shape == (1000,)
    net = models.load_for(digits, "timm:test_resnet?size=32&classes=10")
    assert net.weights.startswith("random head of 10 classes, seed 0; the rest: timm test_resnet.r160_in1k, sha256 ")


def test_the_client_of_the_hub_is_found_when_nothing_else_has_loaded_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(huggingface_hub, "constants")
    assert published.hub_host()
    with published._hub_offline():
        assert constants.HF_HUB_OFFLINE
