"""Networks by name: what each family gives, and what a user is told where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from modelstitch.errors import SourceError, TraceError
from modelstitch.models import load as models
from modelstitch.models.load import load, register
from modelstitch.models.request import closest
from modelstitch.models.token_view import TokenView
from modelstitch.network import Network
from modelstitch.views import Published
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.train import Recipe

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
BERT = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
VIT = {
    "architectures": ["ViTForImageClassification"],
    "model_type": "vit",
    "image_size": 16,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def folder(path: Path, config: dict[str, Any]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


@torch.no_grad()
def exact(net: Network, inputs: Any) -> bool:
    expected = net(inputs)
    return all(torch.equal(net.top(cut)(net.bottom(cut)(inputs), inputs), expected) for cut in net.cuts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "options", "size", "classes"),
    [
        ("timm:test_resnet", {"size": 64}, (64, 64), 1000),
        ("timm:test_vit", {"size": 32, "classes": 7}, (32, 32), 7),
        ("torchvision:resnet18?size=32", {"classes": 5}, (32, 32), 5),
    ],
)
@torch.no_grad()
def test_image_classifiers(spec: str, options: dict[str, Any], size: tuple[int, int], classes: int) -> None:
    net = load(spec, weights="random", **options)
    assert isinstance(net.view, Published)
    assert net.has_view
    assert net.output_shape == (classes,)
    x = net.view(torch.rand(3, 3, 40, 52))  # raw images of another size
    assert x.shape == (3, 3, *size)
    assert exact(net, x)


@pytest.mark.slow
def test_each_network_has_its_own_normalisation() -> None:
    one = load("timm:test_resnet", size=64, weights="random").view
    two = load("torchvision:alexnet", size=64, meta=True).view
    assert one.describe()["mean"] == [0.5, 0.5, 0.5]
    assert two.describe()["mean"] == [0.485, 0.456, 0.406]


@pytest.mark.slow
def test_random_weights_follow_the_seed_and_leave_the_generator() -> None:
    before = torch.get_rng_state()
    a, b, c = (load("timm:test_resnet", size=32, weights="random", seed=seed).fingerprint() for seed in (0, 0, 1))
    assert a == b != c
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_resnet_checkpoint_saved_with_data_parallel(tmp_path: Path) -> None:
    """As old training scripts wrote them: DataParallel's names, no counters of BatchNorm, the old file format."""
    trained = load("torchvision:resnet18", size=32, weights="random", seed=5)
    state = {f"module.{k}": v for k, v in trained.module.state_dict().items() if "num_batches" not in k}
    file = tmp_path / "model_best.pth.tar"
    content = {"epoch": 90, "arch": "resnet18", "state_dict": state, "best_acc1": torch.tensor(69.8), "optimizer": {}}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    loaded = load("torchvision:resnet18", weights=file, size=32)
    assert loaded.fingerprint() == trained.fingerprint()
    with pytest.raises(SourceError, match=r"do not fit resnet18: 2 wrong shape: fc.weight \(expected \(10, 512\)"):
        load("torchvision:resnet18", weights=file, size=32, classes=10)
    with pytest.raises(SourceError, match=r"do not fit resnet34: \d+ missing: layer1.2.conv1.weight, .* and \d+ more"):
        load("torchvision:resnet34", weights=file, size=32)


@pytest.mark.slow
def test_language_models(tmp_path: Path) -> None:
    net = load(f"hf:{folder(tmp_path / 'llama', LLAMA)}", size=8, weights="random")
    assert (net.name, net.output_name) == ("llama", "logits")
    assert isinstance(net.view, TokenView)
    batch = net.view({"input_ids": torch.randint(1, 50, (3, 8)), "more": torch.ones(3)})
    assert set(batch) == {"input_ids", "attention_mask"}
    assert exact(net, batch)
    assert {"model.layers.0", "model.layers.1"} <= set(net.cuts)
    bert = load(f"hf:{folder(tmp_path / 'bert', BERT)}", classes=3, weights="random")
    assert bert.output_shape == (3,)
    assert load(f"hf:{tmp_path / 'bert'}?task=masked-lm", meta=True).output_shape == (32, 50)


@pytest.mark.slow
@torch.no_grad()
def test_a_folder_with_weights(tmp_path: Path) -> None:
    made = load(f"hf:{folder(tmp_path / 'vit', VIT)}", classes=4, weights="random", seed=3)
    made.module.save_pretrained(tmp_path / "saved")
    again = load(f"hf:{tmp_path / 'saved'}")
    assert again.fingerprint() == made.fingerprint()
    assert not again.has_view  # nothing is guessed where the folder has no image processor
    assert again.sample_shape == (3, 16, 16)
    file = tmp_path / "saved" / "model.safetensors"
    assert load(f"hf:{tmp_path / 'vit'}", classes=4, weights=file).fingerprint() == made.fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["openclip:RN50", "timm:test_vit", "zoo:resnet20"])
def test_without_memory(spec: str) -> None:
    net = load(spec, meta=True)
    assert {t.device.type for t in net.module.state_dict().values()} == {"meta"}
    assert net.cuts


REFUSED: dict[str, str] = {
    "resnet18": "The model 'resnet18' is unknown: expected zoo:..., file:..., timm:..., .*, or a donor folder",
    "keras:resnet": "The model 'keras:resnet' is unknown: expected zoo",
    "timm:resnet81": "timm has no model 'resnet81': did you mean 'resnet18'",
    "torchvision:resnet19": "torchvision has no classifier 'resnet19': did you mean 'resnet18'",
    "openclip:RN51": "open_clip has no model 'RN51': did you mean 'RN50'",
    "zoo:resnet21": "The zoo has no net 'resnet21'",
    "timm:test_resnet?size": "The option 'size' of 'timm:test_resnet\\?size' cannot be read: expected 'name=value'",
    "timm:test_resnet?size=big": "The option size=big of .* cannot be used: expected a number of 1 or more",
    "timm:test_resnet?depth=3": "The options depth of 'timm:test_resnet\\?depth=3' are unknown",
    "hf:/no/such/folder": "cannot be read: expected a local folder with config.json, or the name of a model on the hub",
    "import:resnet": "No imported function is called 'resnet'",
}


@pytest.mark.parametrize("spec", REFUSED)
def test_refuses(spec: str) -> None:
    with pytest.raises(SourceError, match=REFUSED[spec]) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


def test_refuses_what_a_family_cannot_make() -> None:
    with pytest.raises(SourceError, match="An image tower has no classes: leave classes= out"):
        load("openclip:RN50", classes=3, meta=True)
    with pytest.raises(TraceError, match=r"Input height \(33\) should be divisible by patch size"):
        load("timm:test_vit", size=33, weights="random")


@pytest.mark.parametrize(
    ("config", "query", "text"),
    [
        (LLAMA | {"auto_map": {"AutoModel": "evil.Model"}}, "", "needs trust_remote_code: refused"),
        ({k: v for k, v in LLAMA.items() if k != "architectures"}, "", "does not say its task: add \\?task= with one"),
        (LLAMA, "?task=juggling", "The task 'juggling' is unknown: expected one of causal-lm"),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, config: dict[str, Any], query: str, text: str) -> None:
    with pytest.raises(SourceError, match=text):
        load(f"hf:{folder(tmp_path / 'model', config)}{query}")


def test_remote_code_is_not_even_read(tmp_path: Path) -> None:
    where = folder(tmp_path / "model", LLAMA | {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}})
    (where / "modeling.py").write_text(f"open({str(tmp_path / 'victim')!r}, 'w')", encoding="utf-8")
    with pytest.raises(SourceError, match="trust_remote_code: refused; use a model that transformers itself holds"):
        load(f"hf:{where}")
    assert not (tmp_path / "victim").exists()


OWN = """
import torch
from torch import nn

def _hidden():
    raise RuntimeError

def chain():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

def with_example():
    return chain(), torch.zeros(2, 6)

def with_view():
    return chain(), torch.zeros(2, 6), double

def double(x):
    return 2 * x

def reads_numbers():
    rates = torch.ones(3).tolist()
    return nn.Sequential(*(nn.Linear(6, 6) for _ in rates)), torch.zeros(2, 6)

def fails():
    raise FileNotFoundError("weights.pt")

def number():
    return 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "_imported", {})
    file = tmp_path / "mine.py"
    file.write_text(OWN, encoding="utf-8")
    names = ["chain", "with_example", "with_view", "double", "reads_numbers", "fails", "number"]
    assert register(file) == names
    return file


def test_own_modules(own: Path) -> None:
    net = load("import:with_example", name="mine")
    assert (net.name, net.cuts) == ("mine", ["0", "1", "2"])
    assert load("import:chain", input_shape=(6,)).cuts == net.cuts
    assert torch.equal(load("import:with_view").view(torch.ones(1)), torch.tensor([2.0]))


@pytest.mark.parametrize(("name", "device"), [("with_example", "meta"), ("reads_numbers", "cpu")])
def test_own_modules_without_memory_where_their_code_allows_it(own: Path, name: str, device: str) -> None:
    net = load(f"import:{name}", meta=True)
    assert {p.device.type for p in net.module.parameters()} == {device}
    assert net.cuts == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("import:chains", "No imported function is called 'chains': did you mean 'chain'"),
        ("import:chain", r"returns a module alone: expected \(module, example\), or the shape of one sample"),
        ("import:number", r"The function 'number' returns int: expected a module, .* see .*mine.py"),
        ("import:fails", r"The function 'fails' fails \(FileNotFoundError: weights.pt, mine.py:\d+\): mend it"),
    ],
)
def test_own_functions_that_are_refused(own: Path, spec: str, text: str) -> None:
    for meta in (False, True):
        with pytest.raises(SourceError, match=text):
            load(spec, meta=meta)


def test_files_that_cannot_be_imported(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be imported: expected a Python file"):
        register(tmp_path / "nothing.py")
    bad = tmp_path / "bad.py"
    bad.write_text("import nothing_of_this_name", encoding="utf-8")
    with pytest.raises(SourceError, match=r"bad.py cannot be imported \(ModuleNotFoundError: No module named"):
        register(bad)


def test_closest() -> None:
    assert closest("resnet19", ["resnet18", "vgg"]) == "did you mean 'resnet18'?"
    assert closest("zzz", ["resnet18"]) == "check the name."


@pytest.mark.slow
def test_networks_of_one_architecture_are_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    begin = Network.__init__

    def told(self: Network, *args: Any, **options: Any) -> None:
        made.append(args[2])
        begin(self, *args, **options)

    monkeypatch.setattr(Network, "__init__", told)
    first, second = (load("zoo:small-resnet?width=4", seed=seed, name=f"seed {seed}") for seed in (0, 1))
    assert (made, first.name, second.name) == (["seed 0"], "seed 0", "seed 1")
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(second(x), second.module.eval()(x))
    assert exact(second, x)
    assert not torch.equal(first(x), second(x))
    load("zoo:small-resnet?width=4", seed=2, classes=7, name="other head")
    load("zoo:small-resnet?width=5", name="wider")
    load("zoo:small-resnet?width=4", input_shape=(1, 16, 16), name="larger")
    assert made == ["seed 0", "other head", "wider", "larger"]
    del first, second
    load("zoo:small-resnet?width=4", name="anew")  # nothing is kept that no one uses
    assert made[-1] == "anew"


def test_what_a_donor_was_trained_on_is_its_own(digits: Any, tmp_path: Path) -> None:
    some, whole = (
        load(str(donor(DonorSpec("small-resnet?width=4", Recipe(steps=2, n_fit=n)), digits, tmp_path).folder))
        for n in (500, None)
    )
    assert (some.trained_on, whole.trained_on) == (500, None)


def test_a_function_is_registered_by_its_name():
    def own_small():
        return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)), torch.zeros(2, 8)

    assert register(own_small) == ["own_small"]
    assert load("import:own_small").cuts == ["0", "1", "2"]
    with pytest.raises(SourceError, match="has no name to be called by"):
        register(lambda: own_small())
