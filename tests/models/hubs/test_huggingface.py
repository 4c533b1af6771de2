"""Networks of transformers: from the hub's cache and from folders, in every form of weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import modelstitch as ms
from hub_caches import COMMIT, lay, made, same, small_bert
from modelstitch.errors import SourceError


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


def test_a_configuration_that_cannot_be_had(caches: Path) -> None:
    with pytest.raises(SourceError, match="The configuration of Hugging Face org/none cannot be had"):
        made("hf:org/none", weights="random")
