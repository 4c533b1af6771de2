"""The page on own models runs as it stands."""

import re
from typing import Any

import pytest
from safetensors.torch import save_file

from pages import blocks, run_commands, run_python

PAGE = "docs/bring-your-own-model.md"


@pytest.mark.slow
def test_the_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    told = run_python("\n".join(b for b in blocks(PAGE, "python") if "# file:" not in b), tmp_path, monkeypatch)
    assert "2.fc1 (128,) vector 6368 bypassed by 1" in told
    assert "The layer '2.fc1' of 'mine' is not an exact cut: bypassed by" in told
    assert "Network('test_resnet'" in told


@pytest.mark.slow
def test_the_command_line_lists_a_model_of_a_file(tmp_path, monkeypatch):
    (file,) = (b for b in blocks(PAGE, "python") if "# file: mine.py" in b)
    (tmp_path / "mine.py").write_text(file, encoding="utf-8")
    made: dict[str, Any] = {}
    exec(file, made)  # the page's own text
    for name in ("one", "two"):
        save_file(made["mlp"]()[0].state_dict(), tmp_path / f"{name}.safetensors")
    (commands,) = blocks(PAGE, "bash")
    told = "\n".join(run_commands(commands, tmp_path, monkeypatch))
    assert re.search(r"│ 1 +│ +32 │ vector │ +2,080 │", told)
    assert "4 layers, 4 exact cuts" in told
