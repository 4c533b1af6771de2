"""Networks of open_clip: published weights out of its cache, and which of several are meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from hub_caches import drawn, lay, made, same
from modelstitch.errors import SourceError

SMALL_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 60, "width": 16, "heads": 2, "layers": 1},
}


def test_open_clip(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip  # it takes long, and every process collects this file

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
