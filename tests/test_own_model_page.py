"""The page on own models runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "bring-your-own-model.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_runs_from_top_to_bottom(tmp_path):
    told = run([sys.executable, "-c", "\n".join(b for b in blocks("python") if "# file:" not in b)], tmp_path)
    assert "2.fc1 (128,) vector 6368 bypassed by 1" in told
    assert "The layer '2.fc1' of 'mine' is not an exact cut: bypassed by" in told
    assert "Network('test_resnet'" in told


def test_the_command_line_lists_a_model_of_a_file(tmp_path):
    (file,) = (b for b in blocks("python") if "# file: mine.py" in b)
    (tmp_path / "mine.py").write_text(file, encoding="utf-8")
    made: dict[str, Any] = {}
    exec(file, made)  # the page's own text
    for name in ("one", "two"):
        save_file(made["mlp"]()[0].state_dict(), tmp_path / f"{name}.safetensors")
    (command,) = blocks("bash")
    told = run(["bash", "-euc", command], tmp_path)
    assert re.search(r"│ 1 +│ +32 │ vector │ +2,080 │", told)
    assert "4 layers, 4 exact cuts" in told
