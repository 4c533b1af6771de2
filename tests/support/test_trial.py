"""A table is read in a process of its own, which says how it went and dies within its bounds."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import polars
import pytest

from modelstitch.support import trial

HOME = str(Path(find_spec("polars").origin).parents[1])


def tried(path, how, *, memory=4_000_000_000, seconds=20, wanted=("text",)):
    read = {"path": str(path), "how": how, "wanted": list(wanted), "n_rows": None}
    ask = json.dumps({"polars": HOME, "memory": memory, "seconds": seconds, "read": read})
    ended = subprocess.run([sys.executable, trial.__file__, ask], capture_output=True, text=True, timeout=60)
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else None


@pytest.mark.slow
@pytest.mark.parametrize("how", ["parquet", "jsonl", "csv", "tsv"])
def test_a_table_that_can_be_read(tmp_path, how):
    table = polars.DataFrame({"text": ["a", "b"], "label": [0, 1]})
    path = tmp_path / "t"
    if how == "parquet":
        table.write_parquet(path)
    elif how == "jsonl":
        table.write_ndjson(path)
    else:
        table.write_csv(path, separator="\t" if how == "tsv" else ",")
    assert tried(path, how) == (0, {})


def test_one_that_cannot_says_why_in_one_line(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(b"PAR1 and then nothing of the kind")
    code, answer = tried(path, "parquet")
    assert code == 0
    assert set(answer) == {"error"}
    assert answer["error"]
    assert "\n" not in answer["error"]
    assert len(answer["error"]) <= 300
