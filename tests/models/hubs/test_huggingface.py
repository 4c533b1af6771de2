"""Networks of transformers: from the hub's cache and from folders, in every form of weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import modelstitch as ms
import texts
from hub_caches import COMMIT, lay, made, same, small_bert
from modelstitch.errors import DataError, SourceError
from modelstitch.models.hubs.huggingface import over_tokens


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


def small_llama(folder: Path, dtype: torch.dtype) -> Path:
    texts.tokenizer(folder)
    texts.small("llama", 0, width=64).to(dtype).save_pretrained(folder)
    return folder


def mapped_from(tensor: torch.Tensor) -> str:
    """The file that a tensor's memory is mapped from; empty where it is the process's own."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, *_, name = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in place.split("-"))
        if start <= tensor.data_ptr() < end:
            return name if name.startswith("/") else ""
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_keep_their_type_and_are_mapped_from_the_file(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = small_llama(tmp_path, dtype)
    before = (folder / "model.safetensors").read_bytes()
    one, other = (ms.load(f"hf:{folder}?size=6", name=name) for name in ("one", "other"))
    assert one.dtype == other.dtype == dtype
    assert one.weights.endswith(str(dtype).removeprefix("torch."))
    for network in (one, other):
        held = [p for p in network.module.parameters() if p.numel() > 1000]
        assert held
        if Path("/proc/self/maps").exists():
            assert all(mapped_from(p).endswith("model.safetensors") for p in held)
    parts = [dict(network.bottom("model.layers.0").named_parameters()) for network in (one, other)]
    names = {p.data_ptr() for p in one.module.parameters()}
    assert all(p.data_ptr() in names for p in parts[0].values())  # a part has no weights of its own
    with torch.no_grad():
        next(one.module.parameters()).zero_()  # what is written is that network's own
    assert float(next(other.module.parameters()).detach().float().abs().sum()) > 0
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_type_that_is_asked_for_gives_the_same_within_the_rounding_of_half_precision(tmp_path: Path) -> None:
    folder = small_llama(tmp_path, torch.bfloat16)
    half, full = ms.load(f"hf:{folder}?size=6"), ms.load(f"hf:{folder}?size=6&dtype=float32")
    assert (half.dtype, full.dtype) == (torch.bfloat16, torch.float32)
    assert "bfloat16" in repr(half)
    assert "bfloat16" not in repr(full)
    assert all(torch.equal(a.float(), b) for a, b in zip(half.module.parameters(), full.module.parameters()))
    ids = torch.randint(5, 20, (40, 6), generator=torch.Generator().manual_seed(0))
    taps = [network.taps(["model.layers.1"], output=False) for network in (half, full)]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        a, b = (part(inputs)["model.layers.1"].double() for part in taps)
    eps = 2.0**-8  # of a rounding to bfloat16
    assert float((a - b).norm() / b.norm()) < 8 * eps
    sample = [({"input_ids": row}, int(row[0]) % 2) for row in ids]
    data = ms.Data(sample[:30], sample[30:35], sample[35:], name="rows")
    asked = {"layers": (["model.layers.1"], ["model.layers.0"]), "split": "fit", "shuffles": 0}
    found = ms.similarity(half, half.named("again"), data, measures=["cka_linear_biased"], **asked)
    with torch.no_grad():
        both = half.taps(["model.layers.1", "model.layers.0"])({k: v[:30] for k, v in inputs.items()})
    x, y = (both[name].double().mean(1) for name in ("model.layers.1", "model.layers.0"))
    x, y = x - x.mean(0), y - y.mean(0)
    cka = (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert found.frame["value"][0] == pytest.approx(float(cka), abs=1e-6)  # sums are not of half precision


STATES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("how", "slow"),
    [("mean", lambda own: own.mean(0)), ("max", lambda own: own.amax(0)), ("first", lambda own: own[0])],
)
def test_padding_has_no_part(how, slow):
    found = over_tokens(STATES, MASK, how)
    for states, mask, vector in zip(STATES, MASK, found):
        torch.testing.assert_close(vector, slow(states[mask.bool()]))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"encoder{seed}")
        texts.tokenizer(folder, around=True)
        texts.small("bert", seed).bert.save_pretrained(folder)
        found.append(folder)
    return found


@pytest.fixture
def table(tmp_path):
    lines = texts.corpus(120)
    asked = [f"the {line.split()[1]} {line.split()[4]}" for line in lines]
    (tmp_path / "pairs.csv").write_text("query,text\n" + "\n".join(map(",".join, zip(asked, lines))) + "\n")
    return tmp_path / "pairs.csv"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "task", "unit"),
    [("", "embedding", "cosine distance"), ("?column=query&gallery=text", "retrieval:5", "points of recall@5")],
)
def test_sentence_encoders_are_stitched_on_texts(folders, table, query, task, unit):
    names = [f"hf:{folder}?task=features&pool=mean&size=12" for folder in folders]
    data = ms.load_data(f"text:{table}{query}", tokenizer=names[1], task=task)
    one, two = (ms.load(name, weights="random", seed=seed) for seed, name in enumerate(names))
    assert "encoder.layer.0" in two.cuts
    assert two.output_shape == (24,)
    s = ms.stitch(one, two, at="encoder.layer.0", data=data, objective="match")
    assert s.record.metric("penalty").unit == unit
    assert s.metrics["top_error"] <= s.metrics["error"]


def test_an_encoder_that_was_saved_without_a_pooler(folders, tmp_path):
    import transformers

    texts.tokenizer(tmp_path, around=True)
    inner = texts.small("bert", 3).bert
    bare = transformers.BertModel(inner.config, add_pooling_layer=False)
    bare.load_state_dict({name: value for name, value in inner.state_dict().items() if "pooler" not in name})
    bare.save_pretrained(tmp_path)
    net = ms.load(f"hf:{tmp_path}?task=features&pool=mean&size=12")
    assert "random" not in net.weights


def test_what_cannot_be_pooled(folders, table):
    with pytest.raises(SourceError, match=r"The option pool=median of .* cannot be: expected mean, max, first"):
        ms.load(f"hf:{folders[0]}?task=features&pool=median", weights="random")
    data = ms.load_data(f"text:{table}", tokenizer=folders[0], task="embedding")
    nets = [ms.load(f"hf:{folder}?task=features", weights="random", name=folder.name) for folder in folders]
    with pytest.raises(DataError, match=r"a vector for each position, padding among them.*pool=mean"):
        ms.stitch(*nets, at="encoder.layer.0", data=data, objective="match")
    with pytest.raises(DataError, match="Texts to retrieve need to know what belongs to them"):
        ms.load_data(f"text:{table}", tokenizer=folders[0], task="retrieval")
    with pytest.raises(DataError, match="The column 'text' is a gallery: expected the task retrieval"):
        ms.load_data(f"text:{table}?column=query&gallery=text", tokenizer=folders[0])
