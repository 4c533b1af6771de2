"""How far a study is, in numbers and in sentences."""

import json
import os
import subprocess
import sys

from modelstitch.study.status import status_of
from modelstitch.study.store import Store
from modelstitch.support.hashing import cell_hash, of


def files(folder, cells):
    return [folder / "cells" / f"{cell['cell']}.json" for cell in cells]


def record(seed, note="", seconds=30.0):
    config = {"bottom": {"name": "a"}, "top": {"name": "b"}, "control": "pair", "seed": seed}
    return {
        "cell": cell_hash(config),
        "config": config,
        "metrics": [],
        "notes": [note] if note else [],
        "provenance": {"seconds": seconds},
    }


def test_every_state_is_counted(tmp_path):
    store, cells = Store(tmp_path, {"name": "s"}), [record(seed) for seed in range(7)]
    store.plan([cell["cell"] for cell in cells[1:]])
    for cell in [*cells[:3], record(3, "failed: the loss is not finite")]:
        store.write(cell)
    (tmp_path / "cells" / f"{cells[4]['cell']}.json").write_text("{")
    (tmp_path / "unfinished").mkdir()
    for name, age in (("fresh", 0), ("old", 1e6)):
        (tmp_path / "unfinished" / name).touch()
        stamp = (tmp_path / "unfinished" / name).stat().st_mtime - age
        os.utime(tmp_path / "unfinished" / name, (stamp, stamp))
    with store.begun():
        found = status_of(tmp_path)
    assert (found.planned, found.finished, found.missing, found.stale) == (6, 3, 3, 1)
    assert (found.running, found.fits, found.left) == (1, 1, 90.0)
    assert found.done == {("a", "b", "pair"): 3}
    assert found.failed == {cells[3]["cell"]: "the loss is not finite"}
    assert list(found.damaged) == [cells[4]["cell"]]
    told = " ".join(found.sentences())
    for words in (
        "3 finished cells. 3 cells are missing",
        "1 process at work, 1 fit under way.",
        "About 90 seconds left",
        "the loss is not finite",
        "expected a digest at its end",
        "1 cell is left out: the plan",
    ):
        assert words in told
    plain = json.loads(json.dumps(found.plain()))
    assert plain["done"] == [{"bottom": "a", "top": "b", "control": "pair", "cells": 3}]
    assert plain["finished"] == 3
    assert status_of(tmp_path).running == 0


def test_no_changed_byte_is_counted_as_finished(tmp_path):
    store, cells = Store(tmp_path, {"name": "s"}), [record(seed) for seed in range(40)]
    for cell in cells:
        store.write(cell)
    store.plan([cell["cell"] for cell in cells])
    for at, file in enumerate(files(tmp_path, cells)):
        text = bytearray(file.read_bytes())
        text[at * len(text) // len(cells)] ^= 1 << at % 8
        file.write_bytes(text)
    found = status_of(tmp_path)
    assert (found.finished, found.missing, len(found.damaged)) == (0, 40, 40)
    assert found.done == {}


def test_a_record_that_contradicts_itself_is_not_finished_whatever_its_digest(tmp_path):
    store, cells = Store(tmp_path, {"name": "s"}), [record(0), record(1)]
    for cell in cells:
        store.write(cell)
    _, second = files(tmp_path, cells)
    body = second.read_bytes().partition(b',"digest"')[0].replace(b'"seed":1', b'"seed":2')
    second.write_bytes(body + b',"digest":"' + of(body).encode() + b'"}')
    found = status_of(tmp_path)
    assert (found.finished, list(found.damaged)) == (1, [cells[1]["cell"]])
    assert "which its configuration makes" in found.damaged[cells[1]["cell"]]


def test_neither_torch_nor_polars_nor_numpy_are_needed(tmp_path):
    Store(tmp_path, {"name": "s"}).write(record(0))
    code = (
        "import sys\nfrom modelstitch.study.status import status_of\n"
        "assert status_of(sys.argv[1]).finished == 1\n"
        "assert not {'torch', 'polars', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
