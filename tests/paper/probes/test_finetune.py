"""A bottom kept frozen up to three layers, and all above it trained anew."""

from tiny import TINY, tiny_job

from modelstitch.paper.figure import Model, Probe
from modelstitch.paper.probes import finetune
from modelstitch.support.resume import Pieces


def test_each_of_three_layers_has_an_error(tmp_path):
    job, heard = tiny_job(tmp_path), []
    job.tell = lambda *words: heard.append(words)
    model = Model()
    probe = Probe("fine-tune", "x", (model,), {"time": 0.25})
    found = finetune.measure(probe, (model,), job, Pieces(tmp_path / "unfinished", "x", job.device))
    assert [r["bottom"]["layer"] for r in found] == list(TINY.three)
    assert [r["bottom"]["index"] for r in found] == [0, 1, 2]
    assert all(r["bottom"] == r["top"] for r in found)
    depths = [r["bottom"]["depth"] for r in found]
    assert depths == sorted(depths)
    for result in found:
        (error,) = result["metrics"]
        assert error["metric"] == "error"
        assert 0 <= error["value"] <= 100
    told = {words[0] for words in heard if words[0].startswith("fine-tune above")}
    assert told == {f"fine-tune above {layer}, {model.name}" for layer in TINY.three}
