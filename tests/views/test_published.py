"""Views by name are the libraries' own transforms: compared bit for bit on images that are not square."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import save_file

import modelstitch as ms
from modelstitch.errors import DataError, NetworkError, SourceError
from modelstitch.models.hubs import timm as timm_models
from modelstitch.models.hubs import torchvision as torchvision_models
from modelstitch.models.request import Request
from modelstitch.support.user_code import in_words
from modelstitch.views import Published, from_processor, published

RANDOM = np.random.default_rng(0)
PICTURES = [
    Image.fromarray(RANDOM.integers(0, 256, (7, 9, 3)).astype(np.uint8)).resize((97, 61), Image.Resampling.BICUBIC)
    for _ in range(3)
]
BYTES = torch.stack([torch.from_numpy(np.array(p)).permute(2, 0, 1) for p in PICTURES])
SMALL = {
    "resnet": {"num_channels": 3, "embedding_size": 4, "hidden_sizes": [4, 4], "depths": [1, 1], "layer_type": "basic"},
}


def same(view: Any, expected: torch.Tensor) -> None:
    """Equal on uint8, on floats in [0, 1], on a list of images, and after it was pickled."""
    for raw in (BYTES, BYTES.float() / 255, list(BYTES)):
        assert torch.equal(view(raw), expected)
    assert torch.equal(pickle.loads(pickle.dumps(view))(BYTES), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"crop_mode": "squash"},
        {"crop_mode": "border", "crop_pct": 0.8},
        {"interpolation": "bicubic", "crop_pct": 1.0},
        {"input_size": (3, 40, 56)},
        {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.4, 0.3)},
    ],
)
def test_timm(changed: dict[str, Any]) -> None:
    config = (
        timm.data.resolve_model_data_config(timm.create_model("test_resnet")) | {"input_size": (3, 64, 64)} | changed
    )
    transform = timm.data.create_transform(**config, is_training=False)
    same(published("timm", config), torch.stack([transform(p) for p in PICTURES]))


@pytest.mark.slow
def test_timm_by_name() -> None:
    net = ms.load("timm:test_resnet", meta=True)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(timm.create_model("test_resnet")))
    same(net.view, torch.stack([transform(p) for p in PICTURES]))
    assert "crop_pct=0.95" in net.view_in_words
    exact = ms.load("timm:test_resnet", meta=True, size=61).view(BYTES)  # no border is cut off: the middle, as it is
    assert torch.equal(exact, ((BYTES[:, :, :, 18:79].float() / 255) - 0.5) / 0.5)


def test_timm_at_the_published_test_size() -> None:
    """resnet50d: trained at 224, tested at 288 with another share of the border."""
    module = timm.create_model("resnet50d.ra4_e3600_r224_in1k")
    tested = timm.data.resolve_model_data_config(module, use_test_size=True)
    assert (tested["input_size"], tested["crop_pct"]) == ((3, 288, 288), 1.0)

    def seen(size):
        return timm_models._seen(timm, module, Request("timm:resnet50d", "resnet50d", size=size)).view

    assert seen(288) == published("timm", tested)
    assert seen(224) == seen(None) != seen(288)
    assert "crop_pct=1.0" in repr(seen(96))


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b1", "swin_v2_t", "inception_v3", "vit_h_14"])
def test_torchvision(name: str) -> None:
    for weights in torchvision.models.get_model_weights(name):
        transform = weights.transforms()
        view = published("torchvision", torchvision_models._seen(weights, None))
        assert torch.equal(view(BYTES[:1])[0], transform(PICTURES[0]))


def test_a_file_that_is_published_is_seen_as_it_was_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """resnet50 was published twice, with two transforms; the file's hash tells which one it is."""
    known, file = torchvision.models.ResNet50_Weights, tmp_path / "renamed.pth"
    file.write_bytes(b"")
    for start, name in (("0676ba61", "IMAGENET1K_V1"), ("11ad3fa6", "IMAGENET1K_V2"), ("00", "IMAGENET1K_V2")):
        monkeypatch.setattr(torchvision_models, "file_hash", lambda path, start=start: start + "0" * 56)
        request = SimpleNamespace(options={}, weights=file, path="resnet50")
        assert torchvision_models._tagged(known, request) is known[name]


def test_torchvision_by_name() -> None:
    transform = torchvision.models.AlexNet_Weights.DEFAULT.transforms()
    view = ms.load("torchvision:alexnet", meta=True).view
    assert torch.equal(view(BYTES), torch.stack([transform(p) for p in PICTURES]))


PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "squashed": ("ViTImageProcessor", {"size": {"height": 32, "width": 48}}),
    "nearest, no rescaling": (
        "ViTImageProcessor",
        {"size": {"height": 32, "width": 48}, "resample": 0, "do_rescale": False},
    ),
    "by Pillow": ("ViTImageProcessorPil", {"size": {"height": 32, "width": 48}, "resample": 3}),
    "channels turned round": (
        "MobileViTImageProcessor",
        {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
    ),
    "offset": (
        "EfficientNetImageProcessor",
        {"size": {"height": 32, "width": 32}, "rescale_offset": True, "do_normalize": False},
    ),
    "share of the border": ("ConvNextImageProcessor", {"size": {"shortest_edge": 48}, "crop_pct": 0.8}),
    "larger before the crop": (
        "LevitImageProcessor",
        {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}},
    ),
    "crop before the size": (
        "PerceiverImageProcessor",
        {"size": {"height": 24, "width": 24}, "crop_size": {"height": 40, "width": 40}},
    ),
    "crop_pct": (
        "PoolFormerImageProcessor",
        {"crop_pct": 0.7, "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    ),
    "crop alone": (
        "BeitImageProcessor",
        {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 24, "width": 32}},
    ),
    "no mean": ("SegformerImageProcessor", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
    "padded": ("CLIPImageProcessor", {"do_resize": False, "crop_size": {"height": 120, "width": 100}}),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_transformers(case: str) -> None:
    kind, options = PROCESSORS[case]
    processor = getattr(transformers, kind)(**options)
    view = from_processor(processor)
    same(view, processor(images=PICTURES, return_tensors="pt")["pixel_values"])
    assert in_words(view) == in_words(from_processor(processor))


def folder(path: Path, processor: dict[str, Any] | None) -> str:
    config = transformers.ResNetConfig(**SMALL["resnet"], num_labels=3)
    transformers.ResNetForImageClassification(config).save_pretrained(path)
    if processor is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return f"hf:{path}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "stated",
    [
        {
            "image_processor_type": "MobileViTImageProcessor",
            "size": {"shortest_edge": 40},
            "crop_size": {"height": 32, "width": 32},
        },
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.9},
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 32, "resample": 3},
        {"size": {"shortest_edge": 32}},  # the processor of the config's model
    ],
)
def test_a_folder_is_seen_through_its_own_processor(tmp_path: Path, stated: dict[str, Any]) -> None:
    net = ms.load(folder(tmp_path, stated))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    expected = processor(images=PICTURES, return_tensors="pt")["pixel_values"]
    assert torch.equal(net.view(BYTES), expected)
    assert net.sample_shape == tuple(expected.shape[1:])
    assert net(net.view(BYTES)).shape == (3, 3)
    assert ms.load(f"hf:{tmp_path}", size=40).sample_shape == (3, 40, 40)


@pytest.mark.slow
def test_a_folder_of_timm_is_seen_through_timms_transform(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", num_classes=7).eval()
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    stated = {key: module.pretrained_cfg[key] for key in ("input_size", "mean", "std", "interpolation", "crop_pct")}
    config = {"architecture": "test_resnet", "num_classes": 7, "pretrained_cfg": stated}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    net = ms.load(f"hf:{tmp_path}?task=image-classification")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module))
    expected = torch.stack([transform(p) for p in PICTURES])
    assert torch.equal(net.view(BYTES), expected)
    with torch.no_grad():
        torch.testing.assert_close(net(expected), module(expected))
    assert ms.load(f"hf:{tmp_path}?task=image-classification&size=61").view(BYTES).shape == (3, 3, 61, 61)


@pytest.mark.slow
def test_nothing_is_guessed_for_a_folder_without_a_processor(tmp_path: Path) -> None:
    net = ms.load(folder(tmp_path, None))
    assert not net.has_view
    assert net.view_in_words == "none, raw samples"
    told = ms.load(f"hf:{tmp_path}", view=ms.Normalise(0.5, 0.5), size=32)
    assert told.view_in_words.startswith("Normalise(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size=(32, 32)")
    assert told.view(BYTES).shape == (3, 3, 32, 32)
    with pytest.raises(NetworkError, match="takes 3 channels, the mean has 2 numbers: expected 3, or one for all"):
        ms.load(f"hf:{tmp_path}", view=ms.Normalise([0.5, 0.5], 0.5))


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"image_processor_type": "NoSuchImageProcessor"}, "cannot be had .*nothing is guessed in its place"),
        ({"image_processor_type": "A", "auto_map": {"AutoImageProcessor": "a.A"}}, "needs trust_remote_code: refused"),
        ({"image_processor_type": "ViltImageProcessor"}, "gives pixel_values, pixel_mask: expected pixel_values alone"),
        ({"image_processor_type": "ImageGPTImageProcessor"}, "cannot be used: "),
        (
            {"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True},
            "ask for do_flip_channel_order, which it does not do",
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "crop_pct": 0.9, "do_sharpen": True},
            "ask for crop_pct, do_sharpen, which",
        ),
    ],
)
def test_processors_that_are_refused(tmp_path: Path, stated: dict[str, Any], text: str) -> None:
    with pytest.raises(SourceError, match=text) as caught:
        ms.load(folder(tmp_path, stated))
    assert "\n" not in str(caught.value)


def test_images_that_are_not_raw_are_refused() -> None:
    view = ms.load("timm:test_resnet", meta=True, size=32).view
    assert isinstance(view, Published)
    with pytest.raises(DataError, match=r"values from -1 to 2: expected raw ones, in \[0, 1\] or uint8"):
        view(torch.tensor([-1.0, 2.0]).expand(1, 3, 2, 2))
    with pytest.raises(DataError, match="of type torch\\.int64: expected uint8"):
        view(torch.ones(1, 3, 2, 2, dtype=torch.int64))
    with pytest.raises(DataError, match="found images with 2: expected 1 or 3"):
        view(torch.ones(1, 2, 4, 4))


def test_grey_and_colour_as_pillow_has_them() -> None:
    config = {"input_size": [1, 32, 32], "mean": [0.5], "std": [0.5], "crop_pct": 1.0}
    transform = timm.data.create_transform(**config)
    found = published("timm", config, channels=1)(BYTES)
    assert torch.equal(found, torch.stack([transform(p.convert("L")) for p in PICTURES]))
    grey = torch.stack([torch.from_numpy(np.array(p.convert("L")))[None] for p in PICTURES])
    config = {"input_size": [3, 32, 32]}
    transform = timm.data.create_transform(**config)
    expected = torch.stack([transform(p.convert("L").convert("RGB")) for p in PICTURES])
    assert torch.equal(published("timm", config)(grey), expected)
