"""One sweep after the other in this process: stored at once, and what two donors have in common done once."""

from modelstitch.study.declared import run_study
from modelstitch.study.engines import local
from modelstitch.study.spec import parse_spec

STUDY = {
    "name": "three equal nets",
    "data": "digits",
    "layers": ["block2"],
    "objectives": ["match"],
    "controls": ["random"],
    "limit": 200,
    "pairs": [["a", "c"], ["b", "c"]],
    "donors": {name: {"model": "zoo:small-resnet?width=4&blocks=2", "weights": "random"} for name in "abc"},
}


def test_a_random_network_that_two_donors_share_is_fitted_once(tmp_path, monkeypatch):
    fitted = []
    plain = local.run_sweep

    def counted(group, bench, **more):
        fitted.extend(cell.hash for cell in group)
        return plain(group, bench, **more)

    monkeypatch.setattr(local, "run_sweep", counted)
    records, _ = run_study(parse_spec(STUDY), tmp_path, device="cpu")
    random = [r for r in records if r.control == "random"]
    assert len(random) == 2
    assert sum(r.cell in fitted for r in random) == 1
    (other,) = [r for r in random if r.cell not in fitted]
    (one,) = [r for r in random if r.cell in fitted]
    assert f"the same random network as in cell {one.cell}: fitted once" in other.notes
    assert other.metrics == one.metrics
    assert {one.bottom.name, other.bottom.name} == {"a", "b"}
    assert {path.stem for path in (tmp_path / "cells").iterdir()} == {r.cell for r in records}
