"""docs/fitting.md: its code runs, and it names every objective, policy and control there is."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

from modelstitch.engine.controls import CONTROLS
from modelstitch.study.question import STAGES, Normalisation

PAGE = Path(__file__).parents[2] / "docs" / "fitting.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.slow
def test_the_code_runs_from_top_to_bottom(pair, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"bottom": pair[0], "top": pair[1], "data": digits}
    assert len(BLOCKS) >= 7
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    x = names["x"]
    assert (tmp_path / "runs/fitting/report.html").is_file()
    assert torch.allclose(names["folded"](x), names["one"](x), atol=1e-4)
    assert torch.allclose(names["program"].module()(x), names["folded"](x), atol=1e-5)


def test_every_policy_and_control_is_on_the_page():
    for name in (*CONTROLS, *STAGES, *get_args(Normalisation)):
        assert f"`{name}`" in TEXT
