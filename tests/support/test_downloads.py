"""Published weights: out of caches laid out by hand as the libraries lay them out; else a sentence, and soon."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

import modelstitch as ms
from modelstitch.errors import SourceError
from modelstitch.models import load as models
from modelstitch.models.request import Made
from modelstitch.support import downloads as published

SMALL_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 60, "width": 16, "heads": 2, "layers": 1},
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
    asked: dict[str, Any] = {
        "classes": None, "size": None, "weights": None, "input_shape": None, "seed": 0, "meta": False, "class_names": None, "dtype": None,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(asked["seed"])
        return models._make(models._parse(spec, **{**asked, **options}))


def same(one: nn.Module, other: nn.Module, but: tuple[str, ...] = ()) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[key], theirs[key]) for key in mine if not key.startswith(but or ("\0",)))


def drawn(build: Any, seed: int = 7) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


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
    assert net.weights == f"timm test_resnet.r160_in1k, sha256 {ms.network.network.fingerprint(net.module)}"


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


def test_open_clip(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "small-clip", SMALL_CLIP)
    stated = open_clip.pretrained._pcfg(hf_hub="org/small-clip/")
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "small-clip", {"mine": stated})
    with pytest.raises(
        SourceError, match=r"weights of open_clip small-clip mine cannot be had .*hf download org/small-clip`"
    ):
        made("openclip:small-clip")
    module = drawn(lambda: open_clip.create_model("small-clip", load_weights=False))
    save_file(module.state_dict(), caches / "clip.safetensors")
    lay(caches, "org/small-clip", {"open_clip_model.safetensors": caches / "clip.safetensors"})
    found = made("openclip:small-clip")
    assert found.origin == "open_clip small-clip mine"
    assert found.whole is not None
    assert same(found.whole, module)
    two = {"one": stated, "two": {**stated, "quick_gelu": True}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "small-clip", two)
    assert made("openclip:small-clip?tag=one").origin == "open_clip small-clip one"
    with pytest.raises(
        SourceError, match=r"publishes 2 weights for 'small-clip': expected one of one, two; name it with .*\?tag="
    ):
        made("openclip:small-clip")
    with pytest.raises(SourceError, match="trained with QuickGELU, which 'small-clip' does not compute"):
        made("openclip:small-clip?tag=two")


def small_bert() -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=3,
    )  # fmt: skip
    return drawn(lambda: transformers.BertForSequenceClassification(config))


@pytest.mark.parametrize("form", ["safetensors", "bin", "shards", "sharded bin"])
def test_the_hub_and_folders(caches: Path, form: str) -> None:
    module, folder = small_bert(), caches / "saved"
    module.save_pretrained(folder, max_shard_size="8KB" if "shard" in form else "5GB")
    if "bin" in form:
        state = module.state_dict()
        for file in folder.glob("model*"):
            file.unlink()
        parts = [dict(list(state.items())[:5]), dict(list(state.items())[5:])]
        if form == "bin":
            torch.save(state, folder / "pytorch_model.bin")
        else:
            for i, part in enumerate(parts):
                torch.save(part, folder / f"pytorch_model-{i}.bin")
            index = {key: f"pytorch_model-{i}.bin" for i, part in enumerate(parts) for key in part}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    assert len(list(folder.glob("*model*"))) > (2 if "shard" in form else 0)
    lay(caches, "org/small-bert", {file.name: file for file in folder.iterdir()})
    by_name = made("hf:org/small-bert")
    assert by_name.origin == f"Hugging Face org/small-bert at {COMMIT[:12]}"
    assert same(by_name.module, module)
    assert same(made(f"hf:{folder}").module, module)
    other = made("hf:org/small-bert", classes=5)
    assert other.drawn == "head of 5 classes"
    assert same(other.module, module, but=("classifier.",))


def test_folders_without_weights(caches: Path) -> None:
    small_bert().config.save_pretrained(caches / "bare")
    spec = f"hf:{caches / 'bare'}?task=text-classification"
    with pytest.raises(
        SourceError, match=r"holds no weights that can be read: .*found a configuration alone; .*weights=\"random\""
    ):
        made(spec)
    (caches / "bare" / "tf_model.h5").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"expected model.safetensors or pytorch_model.bin, found tf_model.h5"):
        made(spec)
    assert made(spec, weights="random").origin == ""
    net = ms.load(spec, weights="random", seed=4, size=8)
    assert net.weights == "random, seed 4"
    assert "weights: random, seed 4" in repr(net)


NOT_HAD = {
    "timm:test_vit": r"weights of timm test_vit.r160_in1k cannot be had .*`hf download timm/test_vit.r160_in1k` elsewhere and copy",
    "torchvision:resnet18": r"weights of torchvision resnet18 IMAGENET1K_V1 cannot be had .*resnet18-f37072fd.pth elsewhere and copy it to",
    "torchvision:resnet50?tag=IMAGENET1K_V1": "weights of torchvision resnet50 IMAGENET1K_V1 cannot be had",
    "torchvision:resnet50?tag=V7": "publishes no weights 'V7' of 'resnet50': expected one of IMAGENET1K_V1, IMAGENET1K_V2",
    "timm:test_resnet.mine": "timm publishes no weights under 'test_resnet.mine': expected one of test_resnet.r160_in1k",
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


def test_a_configuration_that_cannot_be_had(caches: Path) -> None:
    with pytest.raises(SourceError, match="The configuration of Hugging Face org/none cannot be had"):
        made("hf:org/none", weights="random")


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
    request = models._parse("timm:test_resnet", None, None, "random", None, 0, False, None, None)
    assert dataclasses.asdict(request)["random"] is True


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


def timm_folder(tmp_path: Path) -> tuple[Path, nn.Module]:
    module = drawn(lambda: timm.create_model("test_resnet", num_classes=7))
    seen = {"input_size": [3, 32, 32], "mean": [0.4] * 3, "std": [0.2] * 3, "interpolation": "bicubic", "crop_pct": 1.0}
    config = {"architecture": "test_resnet", "num_classes": 7, "pretrained_cfg": seen}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    save_file(module.state_dict(), tmp_path / "mine" / "model.safetensors")
    return tmp_path / "mine", module


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
