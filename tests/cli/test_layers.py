"""``modelstitch layers``: what it lists, and that it takes no memory for weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from modelstitch.cli import cli
from others import told

# 555 million parameters: 2.2 GB of float32.
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 256000,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
}

OWN = """
import torch
from torch import nn

class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
    def forward(self, x):
        return x + self.fc(x)

def mine():
    return nn.Sequential(nn.Linear(6, 6), Skip(), nn.Linear(6, 3)), torch.zeros(2, 6)
"""


def run(*args: str) -> str:
    result = CliRunner().invoke(cli, ["layers", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    file = tmp_path / "mine.py"
    file.write_text(OWN, encoding="utf-8")
    return ["import:mine", "--import", str(file)]


def test_own_module_as_a_table(own: list[str]) -> None:
    text = run(*own, "--all")
    rows = {
        line.split("│")[1].strip(): [c.strip() for c in line.split("│")[2:-1]]
        for line in text.splitlines()
        if "│" in line
    }
    assert rows["0"] == ["6", "vector", "42", "0.33", "block"]
    assert rows["1"] == ["6", "vector", "84", "0.67", "block"]
    assert rows["1.fc"] == ["6", "vector", "84", "0.67", "no: bypassed by 0"]
    assert rows["2"] == ["3", "vector", "105", "1.00", "exact"]
    assert "4 layers, 3 exact cuts, 2 of them block cuts" in text
    short = run(*own)
    assert "1.fc" not in short
    assert "--all shows the others and why they cannot be cut." in short


def test_own_module_as_json(own: list[str]) -> None:
    found = json.loads(run(*own, "--all", "--json"))
    assert found["network"] == "mine"
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert [layer["exact"] for layer in layers.values()] == [True, False, True, True]
    assert layers["1.fc"]["why"] == "bypassed by 0"
    assert layers["1.fc"]["nearest"] == ["0", "1"]
    assert (layers["0"]["shape"], layers["0"]["parameters"], layers["0"]["module"]) == ([6], 42, "Linear")
    assert [layer["name"] for layer in json.loads(run(*own, "--json"))["layers"]] == ["0", "1", "2"]


@pytest.mark.slow
def test_a_large_language_model_is_listed_without_its_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    code = (
        "import sys, json, resource\n"
        "import torch, transformers\n"
        "from modelstitch.models.load import load\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"net = load({f'hf:{tmp_path}'!r}, meta=True)\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "tensors = net.module.state_dict().values()\n"
        "print(json.dumps({'grown': grown, 'devices': sorted({t.device.type for t in tensors}),\n"
        "    'elements': sum(t.numel() for t in tensors), 'cuts': net.cuts, 'below': "
        "net.layers[net.cuts[-1]].parameters}))\n"
    )
    found = json.loads(told(code, folder=tmp_path).splitlines()[-1])
    assert found["devices"] == ["meta"]
    assert found["elements"] > 550e6
    assert found["below"] == found["elements"]
    unit = 1 if sys.platform == "darwin" else 1024
    assert found["grown"] * unit < 0.5 * found["elements"]  # bytes: an eighth of what the weights would take
    assert {"model.layers.0", "model.layers.1", "lm_head"} <= set(found["cuts"])


@pytest.mark.slow
def test_the_same_list_with_and_without_memory() -> None:
    from modelstitch.models.load import load

    real, meta = load("timm:test_resnet", size=64, weights="random"), load("timm:test_resnet", size=64, meta=True)
    assert real.layers == meta.layers
    assert real.blocks == meta.blocks


def test_a_donor_is_listed_in_silence(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    CliRunner().invoke(cli, ["train", "small-resnet", "--steps", "1", "--limit", "64", "--out", str(tmp_path)])
    (folder,) = tmp_path.iterdir()
    assert "exact cuts" in run(str(folder))
    assert not [str(w.message) for w in recwarn if "meta parameter" in str(w.message)]


@pytest.mark.slow
def test_what_tokens_lie_on_is_told() -> None:
    name = "zoo:vit?dim=8&depth=1&heads=2&patch=8"
    assert "tokens (image)" in run(name)
    assert {
        (e["over"], tuple(e["grid"] or ())) for e in json.loads(run(name, "--json"))["layers"] if e["kind"] == "tokens"
    } == {("image", (4, 4))}


@pytest.mark.slow
def test_a_cut_is_called_as_the_unit_that_ends_there() -> None:
    names = {
        line.split("│")[1].strip() for line in run("zoo:vit?dim=8&depth=2&heads=2&patch=8").splitlines() if "│" in line
    }
    assert {"blocks.0", "blocks.1"} <= names
    assert "blocks" not in names


def test_one_of_several_state_dicts_is_chosen(tmp_path: Path) -> None:
    import torch

    from modelstitch.zoo.nets import build

    weights = build("small-resnet?width=8&classes=10", seed=0).state_dict()
    torch.save({"ema": weights, "model": {"other": torch.zeros(1)}}, tmp_path / "both.pt")
    text = run("zoo:small-resnet?width=8", "--weights", f"{tmp_path / 'both.pt'}?key=ema")
    assert "exact cuts" in text


ALONE = """
from torch import nn
def alone():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
"""


def test_a_module_alone_is_listed_with_the_shape_of_a_sample(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE, encoding="utf-8")
    found = run("import:alone", "--import", str(tmp_path / "alone.py"), "--input-shape", "3,8,8", "--json")
    assert json.loads(found)["layers"][0]["shape"] == [4, 6, 6]
    assert json.loads(found) == json.loads(
        run("import:alone", "--import", str(tmp_path / "alone.py"), "--input-shape", "3,8,8", "--json")
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["import:alone"], "or --input-shape 3,32,32"),
        (["import:alone", "--input-shape", "3,a,8"], "expected the shape of one sample such as 3,32,32, found '3,a,8'"),
        (["import:alone", "--input-shape", "3,0,8"], "found '3,0,8'"),
        (["timm:resnet18", "--input-shape", "3,64,64"], "expected timm:resnet18?size=N"),
    ],
)
def test_shapes_that_cannot_be(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE, encoding="utf-8")
    found = CliRunner().invoke(cli, ["layers", *words, "--import", str(tmp_path / "alone.py")])
    assert found.exit_code != 0
    assert message in found.output + str(found.exception)
