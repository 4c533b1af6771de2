"""Hostile files, written when they are needed: what each is, how it is made, and which reader is to meet it.

Every payload would leave the file ``owned`` in the working folder.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch
from torch import nn

from modelstitch.support.hashing import sealed

RUN = "open('owned', 'w').close()"
ESCAPES = "e\x1b[2J\x1b]0;own\x07\u202ex"


class Call:
    """A pickle of it calls a function."""

    def __init__(self, function, *args):
        self.found = function, args

    def __reduce__(self):
        return self.found


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(value: object, *, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def archive(pickled: bytes, **more: bytes) -> bytes:
    """A file of torch.save around a pickle."""
    return zipped({"a/data.pkl": pickled, "a/version": b"3\n", "a/byteorder": b"little", **more})


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo("../owned")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"own"))
    return file.getvalue()


def tensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def itself() -> bytes:
    state: dict[str, object] = {}
    state["model"] = state
    return saved(state)


def many_times() -> bytes:
    """A list of lists of lists, each the same one ten times: 10^40 parts when it is walked."""
    value: object = [1.0]
    for _ in range(40):
        value = [value] * 10
    return saved({"state_dict": value})


def deep_pickle() -> bytes:
    return b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

WEIGHTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a call of os.system": ("w.pt", lambda: saved(Call(os.system, "touch owned"))),
    "a call of eval": ("w.bin", lambda: saved({"weight": Call(eval, RUN)})),
    "a call of exec, of before": ("w.pth", lambda: saved({"weight": Call(exec, RUN)}, new=False)),
    "a bare pickle": ("w.pkl", lambda: pickle.dumps(Call(exec, RUN))),
    "a bare pickle by another name": ("w.ckpt", lambda: pickle.dumps({"w": Call(exec, RUN)})),
    "a pickle called safetensors": ("w.safetensors", lambda: pickle.dumps(Call(exec, RUN))),
    "getattr of builtins": (
        "w.pt",
        lambda: archive(b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nS'__call__'\ntR(S'os'\ntR."),
    ),
    "an import of a module beside it": ("w.pt", lambda: archive(b"cevil\nmain\n(tR.")),
    "torch's own loader inside": ("w.pt", lambda: archive(b"ctorch\nload\n(S'evil.pt'\ntR.")),
    "a class of the library": (
        "w.pt",
        lambda: archive(b"cmodelstitch.sources.models\nregister_import\n(S'evil.py'\ntR."),
    ),
    "a dict that holds itself": ("w.pt", itself),
    "lists that multiply": ("w.pt", many_times),
    "lists without end": ("w.pt", lambda: archive(deep_pickle())),
    "lists without end, bare": ("w.bin", deep_pickle),
    "a bomb": ("w.pt", lambda: zipped({"a/data.pkl": b"\0" * 300_000_000}, zipfile.ZIP_DEFLATED)),
    "a member outside": ("w.pt", lambda: zipped({"../../owned": b"own", "a/data.pkl": pickle.dumps({})})),
    "an archive without a pickle": ("w.pt", lambda: zipped({"a/other": b"x"})),
    "an archive of nothing": ("w.pt", lambda: zipped({})),
    "a tar": ("w.pt", tarred),
    "a page": ("w.pt", lambda: b"<!DOCTYPE html><script>fetch('//evil')</script>"),
    "nothing": ("w.pt", lambda: b""),
    "no tensors": ("w.safetensors", lambda: b""),
    "a header of 2^63": ("w.safetensors", lambda: struct.pack("<Q", 2**63) + b"{}"),
    "a header beyond the file": ("w.safetensors", lambda: struct.pack("<Q", 10**6) + b"{}"),
    "a header of brackets": ("w.safetensors", lambda: tensors(b"[" * 100_000)),
    "a header nested in itself": ("w.safetensors", lambda: tensors(b'{"a":' * 20_000 + b"1" + b"}" * 20_000)),
    "a shape of 2^62": ("w.safetensors", lambda: tensors({"weight": {**ONE, "shape": [2**62, 8]}}, b"\0" * 8)),
    "a negative shape": ("w.safetensors", lambda: tensors({"weight": {**ONE, "shape": [-2]}}, b"\0" * 8)),
    "overlapping tensors": ("w.safetensors", lambda: tensors({"weight": ONE, "bias": ONE}, b"\0" * 8)),
    "an unknown type": ("w.safetensors", lambda: tensors({"weight": {**ONE, "dtype": "EVIL"}}, b"\0" * 8)),
    "names that steer": ("w.safetensors", lambda: tensors({ESCAPES: ONE}, b"\0" * 8)),
    "metadata that is no text": ("w.safetensors", lambda: tensors({"__metadata__": [1], "weight": ONE}, b"\0" * 8)),
    "an index that leads outside": (
        "w.safetensors.index.json",
        lambda: json.dumps({"weight_map": {"weight": "../../../etc/passwd"}}).encode(),
    ),
    "an index of itself": (
        "w.safetensors.index.json",
        lambda: json.dumps({"weight_map": {"weight": "w.safetensors.index.json"}}).encode(),
    ),
    "an index without end": ("w.safetensors.index.json", lambda: b'{"weight_map":' * 10_000),
}

SPECS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nested brackets": ("s.toml", lambda: b"seeds = " + b"[" * 20_000 + b"]" * 20_000),
    "nested tables": ("s.toml", lambda: b"a = " + b"{a = " * 5_000 + b"1" + b"}" * 5_000),
    "a key of many parts": ("s.toml", lambda: b"a" + b".a" * 20_000 + b" = 1"),
    "a long number": ("s.toml", lambda: b"seeds = [" + b"9" * 5_000 + b"]"),
    "a name that steers": (
        "s.toml",
        lambda: b'name = "e\\u001b[2J"\ndata = "digits"\npairs = "all"\n[donors]\na = "zoo:vit"',
    ),
    "a key that steers": ("s.toml", lambda: b'"e\\u001b[2J\\u202e" = 1'),
    "data that are a program": (
        "s.toml",
        lambda: b'name = "x"\ndata = "import:os"\npairs = "all"\n[donors]\na = "zoo:vit"\nb = "zoo:vgg11"',
    ),
    "a network that is a program": (
        "s.toml",
        lambda: b'name = "x"\ndata = "digits"\npairs = "all"\n[donors]\na = "import:os.system"\nb = "zoo:vit"',
    ),
    "no text": ("s.toml", lambda: bytes(range(256)) * 10),
}


def parquet(**columns: object) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


TABLES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "only marks": ("t.parquet", lambda: b"PAR1PAR1"),
    "a footer beyond the file": ("t.parquet", lambda: b"PAR1\xff\xff\xff\x7fPAR1"),
    "a footer of zeros": ("t.parquet", lambda: b"PAR1" + b"\0" * 64 + struct.pack("<I", 64) + b"PAR1"),
    "a bomb": ("t.parquet", lambda: parquet(text=pl.repeat("x" * 1000, 5_000_000, eager=True))),
    "columns that steer": ("t.parquet", lambda: parquet(**{ESCAPES: ["x"], "label": [1]})),
    "nested lines": ("t.jsonl", lambda: b'{"text":' + b"[" * 100_000 + b"\n"),
    "a long number": ("t.jsonl", lambda: b'{"text": "a", "label": ' + b"9" * 100_000 + b"}\n"),
    "zeros": ("t.csv", lambda: b"text,label\n" + b"\0" * 10_000),
    "a field without end": ("t.csv", lambda: b'text,label\n"' + b"x" * 100_000),
    "many columns": ("t.csv", lambda: b"text,label" + b",x" * 50_000 + b"\n"),
    "labels of 2^40": ("t.csv", lambda: b"text,label\na,1\nb,1099511627776\n" * 20),
}


def card(**changes: object) -> bytes:
    values = {"name": "x", "net": "small-resnet?width=2", "weights": {}, **changes}
    return json.dumps(sealed(values)).encode()


CARDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nested": ("card.json", lambda: b"[" * 100_000),
    "a net too large": ("card.json", lambda: card(net="small-resnet?width=900000")),
    "a net of a long number": ("card.json", lambda: card(net="small-resnet?width=" + "9" * 5_000)),
    "weights elsewhere": ("card.json", lambda: card(weights={"../../../dev/zero": "0"})),
    "a name that steers": ("card.json", lambda: card(net=ESCAPES)),
    "no text": ("card.json", lambda: card(net=None, name=None)),
}


def stitches(folder: Path) -> dict[str, dict[str, bytes]]:
    """Saved stitches whose digests are right, since whoever wrote them could work them out: {name: {file: content}}."""
    import modelstitch as ms
    from modelstitch.stitched.stitched import Stitched
    from modelstitch.stitchers import Site, family_of
    from modelstitch.support import hashing
    from modelstitch.support import tensors as kept

    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    net = ms.Network(module, torch.zeros(2, 3), "net")
    whole = folder / "whole"
    Stitched(net, net, "1", "1", family_of("identity")[0](Site(3, 3, "vector")), family="identity").save(whole)
    config = hashing.unsealed(json.loads((whole / "stitch.json").read_text()))
    values, texts = kept.load(whole / "bottom.safetensors")

    def changed(programme: Callable[[dict], object] | str | None = None, **sides: object) -> dict[str, bytes]:
        mine, beside = json.loads(json.dumps(config)), dict(texts)
        if programme is not None:
            steps = json.loads(texts["programme"])
            beside["programme"] = programme if isinstance(programme, str) else json.dumps(programme(steps) or steps)
        kept.save(folder / "beside_bottom", values, beside)
        mine["files"] |= {part: [f"beside_{part}", digest] for part, (_, digest) in mine["files"].items()}
        mine["files"]["bottom"][1] = hashing.of_tensors(values, beside)
        mine["bottom"] |= sides
        others = {f"beside_{part}": (whole / f"{part}.safetensors").read_bytes() for part in ("stitcher", "top")}
        return {
            "stitch.json": json.dumps(sealed(mine)).encode(),
            "beside_bottom": (folder / "beside_bottom").read_bytes(),
            **others,
        }

    def call(name: str, *args: object, **told: object) -> Callable[[dict], object]:
        return lambda steps: steps["nodes"].insert(-1, ["call", name, list(args), told])

    def weight(name: str) -> Callable[[dict], object]:
        return lambda steps: steps["weights"].update({name: [next(iter(values)), "parameter", []]})

    pipeline = {
        "view": "published",
        "library": "transformers",
        "channels": 3,
        "settings": {"image_processor_class": "pipeline"},
    }
    pickled = {"beside_bottom": archive(pickle.dumps(Call(exec, RUN)))}
    return {
        "a file that is read": changed(call("from_file.default", "/etc/passwd", True, 8)),
        "an operation of no list": changed(call("_print.default", "own")),
        "an attribute of an operation": changed(call("add.__class__", {"node": 0})),
        "code as a keyword": changed(call("relu.default", {"node": 0}, **{"x=open('owned','w').close()": 1})),
        "code as a step": changed(lambda steps: steps["nodes"].insert(-1, ["module", "os.system"])),
        "code as a weight": changed(weight("a')+open('owned','w').close()+('")),
        "a weight of a class": changed(weight("__class__.__base__.forward")),
        "a weight in place of a method": changed(weight("forward.x")),
        "a type that is a function": changed(call("zeros.default", [1], dtype={"dtype": "load"})),
        "a nested programme": changed("[" * 100_000),
        "a programme of long numbers": changed('{"nodes": [' + "9" * 5_000 + "]}"),
        "a pickle for a part": changed() | pickled,
        "a function for a donor": changed(by="name", recipe={"spec": "import:main"}),
        "arguments of no network": changed(by="name", recipe={"spec": "zoo:vit", "meta": True, "seed": 0}),
        "a pipeline for a view": changed(view=pipeline),
        "a name that steers": changed(by="hand", name=ESCAPES, why=ESCAPES),
    }
