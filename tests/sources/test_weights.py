"""Weights files: what is understood, what is listed, what is refused, and at what cost."""

from __future__ import annotations

import io
import pickle
import resource
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modelstitch.errors import SourceError
from modelstitch.sources.weights import load_weights, read_weights

MIB = 2**20


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[key], other[key]) for key in mine)


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


STATE = net(1).state_dict()
OLD = {key: value for key, value in STATE.items() if not key.endswith("num_batches_tracked")}
FORMS: dict[str, Any] = {
    "bare": STATE,
    "state_dict": {"epoch": 90, "arch": "net", "state_dict": STATE, "best": torch.tensor(3.0)},
    "model": {"model": STATE, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}},
    "two nests": {"model": {"state_dict": STATE}},
    "data parallel": {"epoch": 3, "state_dict": prefixed(OLD, "module.")},
    "compiled": prefixed(STATE, "_orig_mod."),
    "compiled and parallel": {"net": prefixed(STATE, "module._orig_mod.")},
    "before BatchNorm counted": OLD,
    "inside another module": {"state_dict": prefixed(STATE, "model.")},
    "inside two": prefixed(OLD, "wrapper.net."),
    "an average beside": {"model": STATE, "ema": net(2).state_dict()},
    "an average alone": {"epoch": 3, "state_dict_ema": STATE},
}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_torch_save(tmp_path: Path, form: str, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    torch.save(FORMS[form], file)
    module = net()
    assert not same(module, net(1))
    load_weights(module, file, name="net")
    assert same(module, net(1))


def test_a_file_of_an_old_pytorch(tmp_path: Path) -> None:
    file = tmp_path / "old.pth"
    torch.save(FORMS["data parallel"], file, _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(file)
    module = net()
    load_weights(module, file, name="net")
    assert same(module, net(1))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(prefixed(STATE, prefix), file)
    module = net()
    load_weights(module, file, name="net")
    assert same(module, net(1))


def test_one_of_several_state_dicts_is_chosen_by_its_key(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"model": net(2).state_dict(), "ema": {"state_dict": STATE}}, file)
    module = net()
    load_weights(module, f"{file}?key=ema", name="net")
    assert same(module, net(1))
    with pytest.raises(SourceError, match=r"'weights.pt' hold no 'emo': expected one of model, ema"):
        load_weights(module, f"{file}?key=emo", name="net")


NO_WEIGHTS = {
    "html": (b"<html>404 not found</html>", r"found other content, b'<html>404"),
    "text": (b"weights\n", r"found other content, b'weights"),
    "plain pickle": (pickle.dumps({"a": [1, 2]}), r"found a pickle that is no file of torch.save"),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
@pytest.mark.filterwarnings("error")
def test_what_is_no_weights_file_is_told_in_one_sentence(tmp_path: Path, case: str) -> None:
    content, text = NO_WEIGHTS[case]
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(
        SourceError, match=rf"'weights.pt' cannot be read: {text}.*; expected a .safetensors file"
    ) as caught:
        load_weights(net(), file, name="net")
    assert "weights_only" not in str(caught.value)


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({k: v for k, v in STATE.items() if not k.startswith("4.")}, "2 missing: 4.weight, 4.bias;"),
    "unexpected": (STATE | {"5.weight": torch.ones(2)}, "1 unexpected: 5.weight;"),
    "shape": (STATE | {"4.bias": torch.ones(7)}, r"1 wrong shape: 4.bias \(expected \(2,\), found \(7,\)\);"),
    "all three": (
        {k: v for k, v in STATE.items() if k != "0.bias"} | {"head.bias": torch.ones(1), "4.weight": torch.ones(9, 4)},
        r"1 missing: 0.bias; 1 unexpected: head.bias; 1 wrong shape: 4.weight \(expected \(2, 4\), found \(9, 4\)\)",
    ),
    "many": (
        prefixed(STATE, "0.other.") | {"extra": torch.ones(1), "0.other.4.bias": torch.ones(7)},
        r"1 wrong shape: 4.bias \(expected \(2,\), found \(7,\)\)",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path: Path, case: str) -> None:
    state, text = MISFITS[case]
    file = tmp_path / "weights.pt"
    torch.save(state, file)
    module = net()
    with pytest.raises(SourceError, match=rf"The weights 'weights.pt' do not fit net: .*{text}") as caught:
        load_weights(module, file, name="net")
    assert "check the name or classes=" in str(caught.value)
    assert same(module, net())


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("form", ["zip", "old", "bare pickle"])
def test_a_pickle_that_wants_code_is_refused(tmp_path: Path, form: str) -> None:
    victim, file = tmp_path / "victim", tmp_path / "evil.pth"
    content = {"state_dict": STATE, "extra": Evil(victim)}
    if form == "bare pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(SourceError, match=r"'evil.pth' (name getattr|cannot be read)") as caught:
        load_weights(net(), file, name="net")
    if form == "zip":
        assert "no code of a file is run; expected tensors alone" in str(caught.value)
    assert not victim.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "whole.pt"
    torch.save(net(), file)
    with pytest.raises(SourceError, match=r"name torch.nn.modules.container.Sequential, which is neither .*: refused"):
        load_weights(net(), file, name="net")


def test_a_zip_bomb_is_refused_without_unpacking(tmp_path: Path) -> None:
    file = tmp_path / "bomb.pth"
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(64 * MIB // 4)}, buffer)
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
        for copy in range(3):
            packed.writestr(f"archive/data/{copy + 1}", bytes(64 * MIB))
    del buffer
    assert file.stat().st_size < 2 * MIB
    before = peak()
    with pytest.raises(SourceError, match=r"compressed archive that unpacks from [\d,]+ to 26\d,\d{3},\d{3} bytes"):
        load_weights(net(), file, name="net")
    assert peak() - before < 16 * MIB


def test_a_file_much_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    for name in ("large.pt", "large.safetensors"):
        state = STATE | {"more": torch.zeros(70 * MIB // 4)}
        torch.save(state, tmp_path / name) if name.endswith(".pt") else save_file(state, tmp_path / name)
        with pytest.raises(SourceError, match=r"hold 73,\d+,\d+ bytes: expected at most 67,\d+,\d+ for this model"):
            load_weights(net(), tmp_path / name, name="net")


def peak() -> int:
    """Most memory this process ever held, bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


BROKEN: dict[str, bytes] = {
    "empty": b"", "text": b"hello, these are no weights", "cut short": b"PK\x03\x04" + bytes(100),
    "header": (2**60).to_bytes(8, "little") + b"{}",
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(tmp_path: Path, case: str, suffix: str) -> None:
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(BROKEN[case])
    with pytest.raises(
        SourceError, match=rf"The weights 'broken{suffix}' (cannot be read( \(|: found)|name )"
    ) as caught:
        read_weights(file, limit=MIB)
    assert "\n" not in str(caught.value)


def test_half_a_file(tmp_path: Path) -> None:
    for name in ("half.pt", "half.safetensors"):
        whole = tmp_path / f"whole-{name}"
        torch.save(STATE, whole) if name.endswith(".pt") else save_file(STATE, whole)
        (tmp_path / name).write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(SourceError, match="it may be cut short, fetch it again"):
            read_weights(tmp_path / name, limit=MIB)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], torch.ones(3), {"state_dict": {"a": 1}}])
def test_files_without_a_state_dict(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "other.pt"
    torch.save(content, file)
    with pytest.raises(SourceError, match=r"'other.pt' hold no state dict: found .* expected names and tensors"):
        read_weights(file, limit=MIB)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no weights file .*: expected a .safetensors, .pt or .pth file"):
        read_weights(tmp_path / "nothing.pt", limit=MIB)
