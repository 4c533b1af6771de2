"""docs/how-to: the code of each page runs, and what it adds works at every door."""

import re
from pathlib import Path

from modelstitch.engine.controls import CONTROLS

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def run(name, **names):
    text = (PAGES / name).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, name, "exec"), names)
    return names


def test_a_control(pair, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = dict(CONTROLS)
    try:
        result = run("control.md", bottom=pair[0], top=pair[1], data=digits)["r"]
        penalty = dict(result.frame.filter(metric="penalty").select("control", "value").iter_rows())
        assert penalty["reversed"] > penalty["pair"]
        assert "reversed" in [
            column.split(",")[0]
            for column in re.findall(r"<th[^>]*>([^<]*)<", (tmp_path / "reversed.html").read_text())
        ]
    finally:
        CONTROLS.clear()
        CONTROLS.update(before)
