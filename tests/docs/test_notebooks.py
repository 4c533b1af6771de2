"""The notebooks run from top to bottom, and every table in them is drawn."""

import ast
import json
import sys
import time
import types

import pytest

from pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SHOWN = {"pair": 5, "language-model": 4, "family": 3, "embeddings": 0}  # tables of ours


def sources(path):
    """The source of each cell of code."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["metadata"]["language_info"]["name"]) == (4, "python")
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def run(source, module):
    """What the last line of a cell gives."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), vars(module))
    return None if last is None else eval(compile(last, "<cell>", "eval"), vars(module))


def test_all_four_are_there():
    assert {path.stem for path in NOTEBOOKS} == SHOWN.keys()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    begun, tables = time.process_time(), 0
    for source in sources(path):
        found = run(source, module)
        if type(found).__module__.startswith("modelstitch"):
            html = found._repr_html_()
            tables += "<table" in html
    assert tables == SHOWN[path.stem]
    assert time.process_time() - begun < 60  # seconds of a processor, of a test that shares the machine
