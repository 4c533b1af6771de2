"""Hostile files: no code of theirs runs, nothing is written elsewhere, nothing is fetched.

Each ends in a sentence, soon.
"""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

from others import told

HERE = Path(__file__).parent
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")

# What may be read: no harm is in it.
HARMLESS = {
    "specs/a network that is a program",
    "specs/data that are a program",
    "tables/labels of 2^40",
    "tables/zeros",
    "tables/many columns",
}


def corpus():
    found = importlib.util.spec_from_file_location("corpus", HERE / "corpus.py")
    module = importlib.util.module_from_spec(found)
    sys.modules["corpus"] = module  # pickles name it
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """What came of every file, and the folder they are in."""
    made, folder = corpus(), tmp_path_factory.mktemp("attacks")
    (folder / "evil.py").write_text("open('owned', 'w').close()\ndef main(): pass\n")
    (folder / "t.txt").write_text("some text\n" * 100)
    kinds = {"weights": made.WEIGHTS, "specs": made.SPECS, "tables": made.TABLES, "cards": made.CARDS}
    for kind, cases in kinds.items():
        for name, (file, make) in cases.items():
            place = folder / kind / name.replace("/", " ")
            place.mkdir(parents=True)
            (place / file).write_bytes(make())
    for name, files in made.stitches(tmp_path_factory.mktemp("made")).items():
        place = folder / "stitches" / name
        place.mkdir(parents=True)
        for file, content in files.items():
            (place / file).write_bytes(content)
    evil = "open('owned', 'w').close()\nclass Evil: pass\n"
    for kind, config in (("folders", "config.json"), ("tokenizers", "tokenizer_config.json")):
        for name, values in {
            "code of its own": {
                "auto_map": {
                    "AutoConfig": "beside_evil.Evil",
                    "AutoModel": "beside_evil.Evil",
                    "AutoTokenizer": ["beside_evil.Evil", None],
                },
                "model_type": "evil",
            },
            "nested": None,
        }.items():
            place = folder / kind / name
            place.mkdir(parents=True)
            (place / config).write_text("[" * 100_000 if values is None else json.dumps(values))
            (place / "beside_evil.py").write_text(evil)
    (folder / "temporary").mkdir()
    env = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(folder / "temporary"),
    }
    begin = f"import os, sys, tempfile\nos.environ |= {env!r}\n"
    begin += "tempfile.tempdir, sys.dont_write_bytecode = None, True\n"
    code = begin + (HERE / "meet.py").read_text(encoding="utf-8")
    lines = told(code, folder, folder=folder).splitlines()
    return {line["case"]: line for line in (json.loads(line) for line in lines if line.startswith("{"))}, folder


@pytest.mark.slow
def test_every_file_is_met(met):
    found, _ = met
    assert len(found) >= 60
    assert sum(case.startswith("stitches/") for case in found) >= 16


@pytest.mark.slow
def test_each_is_refused_in_a_sentence(met):
    found, _ = met
    foreign = {case: line["came"] for case, line in found.items() if line["came"].startswith("foreign")}
    assert not foreign
    read = {case for case, line in found.items() if line["came"] == "read"}
    assert read <= HARMLESS
    assert not {case for case, line in found.items() if STEERING.search(line["came"]) or len(line["came"]) > 2_000}


@pytest.mark.slow
def test_no_code_ran_and_nothing_was_written_or_fetched(met):
    found, folder = met
    assert not {case: line["seen"] for case, line in found.items() if line["seen"]}
    assert not list(folder.rglob("owned"))
    assert not (folder.parent / "owned").exists()


@pytest.mark.slow
def test_each_takes_little_time(met):
    found, _ = met
    assert not {case: line["took"] for case, line in found.items() if line["took"] > 3}
