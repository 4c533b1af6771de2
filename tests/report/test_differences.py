"""Two runs side by side."""

import copy

from synthetic import make_records

from commands import run
from modelstitch.report.differences import differences
from modelstitch.study.store import Store
from modelstitch.support.hashing import cell_hash


def test_every_place_has_a_state():
    one = make_records(("a", "b"), controls=("pair",))
    other = copy.deepcopy(one[1:])
    other[0]["metrics"][0] |= {"value": other[0]["metrics"][0]["value"] + 0.5}
    other[1]["config"]["bottom"]["fingerprint"] = "trained anew"
    other[1]["cell"] = cell_hash(other[1]["config"])
    other += make_records(("c", "d"), controls=("pair",))[:1]
    found = differences(one, other)
    counts = dict(found["state"].value_counts().iter_rows())
    assert counts == {"only one": 1, "same question": 1, "changed": 1, "only other": 1, "same": len(one) - 3}
    assert found.filter(state="same question")["difference"].to_list() == [0.5]
    assert found.filter(state="only other")["one"].to_list() == [None]


def test_the_command_says_what_differs(tmp_path, monkeypatch, capsys):
    for name, seed in (("x", 0), ("y", 1)):
        store = Store(tmp_path / name, {"seeds": [seed]})
        config = {"bottom": {"name": "a", "fingerprint": str(seed)}, "top": {"name": "b"}, "control": "pair"}
        metric = {"metric": "penalty", "value": 1.5 + seed, "unit": "points"}
        store.write({"cell": cell_hash(config), "config": config, "metrics": [metric], "provenance": {}})
    code, out, _ = run(
        monkeypatch, capsys, "diff", str(tmp_path / "x"), str(tmp_path / "y"), "--out", str(tmp_path / "d.csv")
    )
    assert not code
    assert "seeds: [0]" in out.replace("seeds.0: 0", "seeds: [0]")
    assert "1 changed" in out
    assert "+1.00" in out
    assert "changed" in (tmp_path / "d.csv").read_text()
