"""Weights files: what is understood, what is listed, what is refused, and at what cost."""

from __future__ import annotations

import argparse
import datetime
import io
import json
import pickle
import resource
import sys
import time
import warnings
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from modelstitch.errors import SourceError
from modelstitch.models.weights import load_weights, read_weights

MIB = 2**20


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[key], other[key]) for key in mine)


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def without_counters() -> dict[str, Any]:
    state = net(1).state_dict()
    del state["1.num_batches_tracked"]
    return state


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
    "a counter of averages": prefixed(STATE, "module.") | {"n_averaged": torch.tensor(3)},
    "a loss's weights beside": {"state_dict": prefixed(STATE, "model.") | {"loss.weight": torch.ones(3)}},
    "compiled inside another module": {"state_dict": prefixed(STATE, "model._orig_mod.")},
    "sharded": prefixed(STATE, "_fsdp_wrapped_module."),
    "an average of the same names beside": prefixed(STATE, "model.") | prefixed(net(2).state_dict(), "ema_model."),
    "under a name of one's own": {
        "epoch": 3,
        "student": prefixed(STATE, "module.backbone."),
        "optimizer": {"state": {}},
    },
    "one is none": {**STATE, "epoch": 3},
    "counters left out, versions kept": without_counters(),
}


@pytest.mark.slow
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


BESIDE: dict[str, Any] = {
    "namespace": argparse.Namespace(lr=0.1, sub=argparse.Namespace(path=PurePosixPath("/x"))),
    "path": Path("a/b"),
    "numpy": [np.float64(3), np.float32(1), np.int64(3), np.bool_(True), np.arange(3.0), np.dtype("float32")],
    "dates": [datetime.datetime.now(datetime.UTC), datetime.date(2020, 1, 1), datetime.timedelta(1)],
    "collections": [
        defaultdict(list, {1: [2]}),
        deque([1], 3),
        Counter("ab"),
        OrderedDict(a=1),
        frozenset({1}),
        range(3),
    ],
    "simple namespace": SimpleNamespace(a=1),
    "torch": [torch.Size([2]), torch.device("cpu"), torch.float16, torch.__version__],
}


@pytest.mark.parametrize("case", BESIDE)
def test_plain_values_beside_the_tensors(tmp_path: Path, case: str) -> None:
    torch.save({"state_dict": STATE, "more": BESIDE[case]}, tmp_path / "weights.ckpt")
    module = net()
    load_weights(module, tmp_path / "weights.ckpt", name="net")
    assert same(module, net(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.head.weight = self.embed.weight


class Counted(nn.Linear):
    """Keeps a number outside of its tensors."""

    count = 0

    def get_extra_state(self) -> Any:
        return {"count": self.count}

    def set_extra_state(self, state: Any) -> None:
        self.count = state["count"]


class Turned(nn.Linear):
    """Files of its first version, and without one, hold the bias with the other sign under another name."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *more: Any) -> None:
        if metadata.get("version") == 1:
            state[f"{prefix}bias"] = -state.pop(f"{prefix}shift")
        super()._load_from_state_dict(state, prefix, metadata, *more)


def built(make: Any, seed: int, count: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module: nn.Module = make()
    if isinstance(module, Counted):
        module.count = count
    return module


def first_version() -> dict[str, Any]:
    state = built(lambda: Turned(3, 3), 1).state_dict()
    state["shift"] = -state.pop("bias")
    state._metadata[""]["version"] = 1  # type: ignore[attr-defined]
    return state


WEIGHTED = (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), lambda: older_norm(nn.Linear(3, 3)))


def older_norm(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found: nn.Module = nn.utils.weight_norm(module)
    return found


OWN_LOADING: dict[str, tuple[Any, Any]] = {
    "extra state": (lambda: Counted(2, 2), lambda: built(lambda: Counted(2, 2), 1, count=5).state_dict()),
    "an earlier version": (lambda: Turned(3, 3), first_version),
    "an earlier version under a prefix": (
        lambda: Turned(3, 3),
        lambda: nn.ModuleDict({"module": turned()}).state_dict(),
    ),
    "new names of weight normalisation": (WEIGHTED[1], lambda: built(WEIGHTED[0], 1).state_dict()),
    "old names of weight normalisation": (WEIGHTED[0], lambda: built(WEIGHTED[1], 1).state_dict()),
    "attention": (
        lambda: nn.MultiheadAttention(8, 2),
        lambda: built(lambda: nn.MultiheadAttention(8, 2), 1).state_dict(),
    ),
}


def turned() -> nn.Module:
    return built(lambda: Turned(3, 3), 1)


@pytest.mark.parametrize("case", OWN_LOADING)
def test_what_the_modules_own_strict_loading_takes_is_taken(tmp_path: Path, case: str) -> None:
    make, state = OWN_LOADING[case]
    torch.save(state(), tmp_path / "weights.pt")
    module, wanted = built(make, 0), built(make, 1, count=5)
    load_weights(module, tmp_path / "weights.pt", name="net")
    mine, theirs = module.state_dict(), wanted.state_dict()
    assert all(torch.equal(mine[k], v) if isinstance(v, torch.Tensor) else mine[k] == v for k, v in theirs.items())


class Counting(nn.Linear):
    """A layer whose copies are counted."""

    copies = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        Counting.copies += 1
        return Counting(self.in_features, self.out_features, device="meta")


@pytest.mark.parametrize("prefix", ["", "module.", "model.encoder."])
def test_a_module_that_loads_by_name_is_not_copied(tmp_path: Path, prefix: str) -> None:
    """Names and shapes decide: a large file, whose names fit in no form but one, costs no copies of the module."""
    Counting.copies = 0
    module, other = Counting(3, 2), Counting(3, 2)
    save_file(
        {**prefixed(other.state_dict(), prefix), "head.weight": torch.ones(1)} if prefix else other.state_dict(),
        tmp_path / "w.safetensors",
    )
    load_weights(module, tmp_path / "w.safetensors", name="net")
    assert same(module, other)
    assert Counting.copies == 0


def test_a_number_may_lie_in_a_list_of_one(tmp_path: Path) -> None:
    """As strict loading takes it, though the shapes differ."""
    module = nn.Module()
    module.scale = nn.Parameter(torch.tensor(1.0))
    save_file({"scale": torch.tensor([3.0])}, tmp_path / "w.safetensors")
    load_weights(module, tmp_path / "w.safetensors", name="net")
    assert module.scale == 3.0


class Forgiving(nn.Module):
    """One that drops what it does not know, as some libraries' models do."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.kept = nn.Linear(2, 2)
        if way == "hook before":
            self.register_load_state_dict_pre_hook(lambda module, state, *_: state.pop("dropped", None) is None)
        if way == "hook after":
            self.register_load_state_dict_post_hook(lambda module, keys: keys.unexpected_keys.clear())
        self.way = way

    def _load_from_state_dict(self, state: Any, *args: Any) -> None:
        if self.way == "of its own":
            state.pop("dropped", None)
        super()._load_from_state_dict(state, *args)


@pytest.mark.parametrize("way", ["hook before", "hook after", "of its own"])
def test_what_a_module_drops_by_itself_is_dropped(tmp_path: Path, way: str) -> None:
    module, other = Forgiving(way), Forgiving(way)
    save_file({**other.state_dict(), "dropped": torch.ones(2)}, tmp_path / "w.safetensors")
    load_weights(module, tmp_path / "w.safetensors", name="net")
    assert same(module, other)


def test_a_tied_tensor_may_stand_once_and_not_twice_with_other_numbers(tmp_path: Path) -> None:
    save_model(built(Tied, 1), str(tmp_path / "tied.safetensors"))
    module = built(Tied, 0)
    load_weights(module, tmp_path / "tied.safetensors", name="net")
    assert same(module, built(Tied, 1))
    torch.save({"embed.weight": torch.ones(3, 3), "head.weight": torch.zeros(3, 3)}, tmp_path / "untied.pt")
    with pytest.raises(
        SourceError, match=r"two different tensors, embed.weight and head.weight, which the module ties"
    ):
        load_weights(module, tmp_path / "untied.pt", name="net")
    assert same(module, built(Tied, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_network_takes_the_files_type(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in STATE.items()}
    torch.save(state, tmp_path / "weights.pt")
    module, asked = net(), net()
    load_weights(module, tmp_path / "weights.pt", name="net")
    assert {p.dtype for p in module.parameters()} == {dtype}
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    load_weights(asked, tmp_path / "weights.pt", name="net", dtype=torch.float32)
    assert {p.dtype for p in asked.parameters()} == {torch.float32}
    mixed = {key: value.half() if key == "4.weight" else value for key, value in STATE.items()}
    torch.save(mixed, tmp_path / "mixed.pt")
    load_weights(module, tmp_path / "mixed.pt", name="net")
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_a_number_too_large_for_the_type_that_is_asked_for(tmp_path: Path) -> None:
    torch.save(STATE | {"4.bias": torch.tensor([1e6, 0.0])}, tmp_path / "weights.pt")
    with pytest.raises(
        SourceError, match=r"cannot be used as float16: 4.bias holds 1e\+06, above its largest number 6.55e\+04"
    ):
        load_weights(net(), tmp_path / "weights.pt", name="net", dtype=torch.float16)


def quantised(value: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


UNUSABLE: dict[str, tuple[Any, str]] = {
    "meta": (lambda v: v.to("meta"), "4.weight: it has a shape and no numbers"),
    "quantised": (quantised, r"4.weight: it is quantised \(qint8\); expected real numbers"),
    "integers": (lambda v: v.to(torch.int8), "4.weight: it holds int8 where the module has real numbers"),
    "sparse": (lambda v: v.to_sparse(), r"4.weight: it is sparse \(sparse_coo\)"),
    "sparse rows": (lambda v: v.to_sparse_csr(), r"4.weight: it is sparse \(sparse_csr\)"),
    "complex": (lambda v: v + 0j, "4.weight: it is complex, the module's own is real"),
    "NaN": (lambda v: v * torch.nan, "8 of the 8 numbers of 4.weight are NaN or infinite"),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_usable_numbers(tmp_path: Path, case: str) -> None:
    change, text = UNUSABLE[case]
    torch.save(STATE | {"4.weight": change(STATE["4.weight"])}, tmp_path / "weights.pt")
    module = net()
    with pytest.raises(SourceError, match=rf"'weights.pt' cannot be used: {text}") as caught:
        load_weights(module, tmp_path / "weights.pt", name="net")
    assert "\n" not in str(caught.value)
    assert same(module, net())


def test_programs_are_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net()), tmp_path / "scripted.pt")
    with pytest.raises(SourceError, match=r"are a program of TorchScript, code and weights in one: .*torch.jit.load"):
        load_weights(net(), tmp_path / "scripted.pt", name="net")


def test_a_network_twice_in_one_file_is_chosen_by_its_prefix(tmp_path: Path) -> None:
    torch.save(prefixed(STATE, "student.") | prefixed(net(2).state_dict(), "teacher."), tmp_path / "two.pt")
    with pytest.raises(
        SourceError, match=r"hold the network 2 times, under 'student.', 'teacher.': .*two.pt\?key=student"
    ):
        load_weights(net(), tmp_path / "two.pt", name="net")
    module = net()
    load_weights(module, f"{tmp_path / 'two.pt'}?key=student", name="net")
    assert same(module, net(1))
    torch.save({"student": STATE, "teacher": net(2).state_dict()}, tmp_path / "nested.pt")
    with pytest.raises(SourceError, match=r"hold 2 state dicts, student, teacher: .*nested.pt\?key=student"):
        load_weights(net(), tmp_path / "nested.pt", name="net")


def test_shards_by_their_index(tmp_path: Path) -> None:
    keys = list(STATE)
    for i, part in enumerate((keys[:3], keys[3:])):
        save_file({key: STATE[key] for key in part}, tmp_path / f"{i}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: f"{int(key in keys[3:])}.safetensors" for key in keys}}))
    module = net()
    load_weights(module, index, name="net")
    assert same(module, net(1))
    (tmp_path / "1.safetensors").unlink()
    with pytest.raises(SourceError, match=r"names 2 files of which 1 are missing \(1.safetensors\)"):
        load_weights(module, index, name="net")
    index.write_text(json.dumps({"weight_map": {"a": "../1.safetensors"}}))
    with pytest.raises(SourceError, match="names no files, or files elsewhere"):
        load_weights(module, index, name="net")


def test_the_content_decides_and_not_the_ending(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights.bin")
    torch.save(STATE, tmp_path / "weights.safetensors")
    for name in ("weights.bin", "weights.safetensors"):
        module = net()
        load_weights(module, tmp_path / name, name="net")
        assert same(module, net(1))


def deep(levels: int = 2000) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"model": value}
    return value


def cycle() -> Any:
    value: dict[str, Any] = {}
    value["model"] = value
    return value


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (cycle, "hold no state dict"),
        (deep, "hold no state dict"),
        (lambda: {str(i): i for i in range(200_000)}, "bytes of names and other values"),
    ],
)
def test_files_that_hold_themselves_or_much_else_are_refused_soon(tmp_path: Path, make: Any, text: str) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        plain = SimpleNamespace(Pickler=pickle._Pickler, __name__="pickle")  # that in C goes less deep in 3.12
        torch.save(make(), tmp_path / "odd.pt", pickle_module=plain)
    finally:
        sys.setrecursionlimit(limit)
    start = time.perf_counter()
    with pytest.raises(SourceError, match=text):
        load_weights(net(), tmp_path / "odd.pt", name="net")
    assert time.perf_counter() - start < 5


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
    "empty": b"",
    "text": b"hello, these are no weights",
    "cut short": b"PK\x03\x04" + bytes(100),
    "header": (2**60).to_bytes(8, "little") + b"{}",
}


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
