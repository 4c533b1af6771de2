"""CLIP towers: images are data, class names make the classifier, and one tower's bottom goes into another's top."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import modelstitch as ms
from modelstitch.data.readers.tokenizer import Tokenizer
from modelstitch.data.subsets import Images
from modelstitch.errors import SourceError
from texts import SPECIAL, WORDS, tokenizer

NAMES = ("cat", "dog", "bird")


def clip(seed, patch):
    import transformers as tf

    plain = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 12,
    }
    text = {"vocab_size": len(SPECIAL) + len(WORDS), "max_position_embeddings": 8, "eos_token_id": 3, "bos_token_id": 2}
    config = tf.CLIPConfig(
        text_config={**plain, **text}, vision_config={**plain, "image_size": 16, "patch_size": patch}, projection_dim=12
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return tf.CLIPModel(config).eval()


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """Two small CLIP models of other patch sizes, in folders with their tokenizer and preprocessing."""
    folders = []
    for seed, patch in ((0, 4), (1, 8)):
        folder = tmp_path_factory.mktemp(f"clip{seed}")
        clip(seed, patch).save_pretrained(folder)
        tokenizer(folder, around=True)
        (folder / "preprocessor_config.json").write_text(
            '{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.3], "resample": 3, "size": {"shortest_edge": '
            "16}, "
            '"crop_size": {"height": 16, "width": 16}, "do_center_crop": true}'
        )
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def data():
    """Coloured squares of three classes, in memory."""
    generator = torch.Generator().manual_seed(0)
    sets = []
    for n in (48, 12, 30):
        labels = torch.arange(n) % 3
        inputs = torch.rand(n, 3, 20, 20, generator=generator) * 0.5
        inputs[torch.arange(n), labels] += 0.4
        sets.append(Images(inputs, labels))
    return ms.Data(*sets, name="squares", classes=NAMES)


@pytest.mark.slow
def test_scores_are_cosines_with_the_prompts(towers, data):
    net = ms.load(f"hf:{towers[0]}?prompt=the+{{}}+.", class_names=NAMES)
    images = net.view(next(data.batches("test", 5)).inputs)
    whole = clip(0, 4)
    words = Tokenizer.load(towers[0]).batch([f"the {name} ." for name in NAMES], 8)
    expected = whole(pixel_values=images, **words).logits_per_image
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-4)
    assert net.view.describe()["image_mean"] == [0.4, 0.5, 0.6]
    assert net.view.describe()["resample"] == 3
    assert "vision_model.encoder.layers.0" in net.cuts
    at = "vision_model.encoder.layers.0"
    assert torch.equal(net.top(at)(net.bottom(at)(images)), net(images))


@pytest.mark.slow
def test_one_tower_goes_into_another_of_other_patches(towers, data):
    bottom, top = (ms.load(f"hf:{folder}", class_names=data.classes, name=folder.name) for folder in towers)
    at = "vision_model.encoder.layers.0"
    stitched = ms.stitch(bottom, top, at, data, steps=4, batch_size=16)
    assert {m["metric"]: m["unit"] for m in stitched.record["metrics"]}["penalty"] == "points"
    assert "adapter: resize 4x4 to 2x2 (area down, bilinear up)" in stitched.record["notes"]
    right = 0
    for batch in data.batches("test", 10):
        with torch.no_grad():
            right += int((top(top.view(batch.inputs)).argmax(1) == batch.labels).sum())
    assert stitched.metrics["top_error"] == pytest.approx(100 - 100 * right / 30)


@pytest.mark.slow
def test_open_clip_makes_its_own_classifier(data):
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "layers": 2, "width": 16, "patch_size": 8, "head_width": 8},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    open_clip.factory._MODEL_CONFIGS["small-clip"] = config
    try:
        net = ms.load("openclip:small-clip", class_names=NAMES, weights="random", seed=3)
        bare = ms.load("openclip:small-clip", weights="random", seed=3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            whole = open_clip.create_model("small-clip", load_weights=False).eval()
        words = open_clip.get_tokenizer("small-clip")([f"a photo of a {name}." for name in NAMES])
    finally:
        del open_clip.factory._MODEL_CONFIGS["small-clip"]
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, two = F.normalize(whole.encode_image(images), dim=-1), F.normalize(whole.encode_text(words), dim=-1)
        torch.testing.assert_close(bare(images), whole.encode_image(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net(images), whole.logit_scale.exp() * one @ two.T, rtol=1e-4, atol=1e-4)
    assert net.cuts[: len(bare.cuts) - 1] == bare.cuts[: len(bare.cuts) - 1]
    assert all(name.startswith("visual") for name in bare.cuts)


def test_a_prompt_without_a_place_for_the_name_is_refused(towers):
    with pytest.raises(SourceError, match=r"The prompt 'a photo' of .* has no single \{\}: expected one"):
        ms.load(f"hf:{towers[0]}?prompt=a+photo", class_names=NAMES)
