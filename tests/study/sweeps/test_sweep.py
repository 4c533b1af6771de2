"""Cells of one sweep: cut to the memory there is, fitted and measured together."""

import pytest

from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.plan import plan
from modelstitch.study.prepared import data_config, describe_donor
from modelstitch.study.question import Question
from modelstitch.study.sweeps.sweep import chunked, run_sweep
from modelstitch.support import resume

FIT = FitSpec(samples=200, steps=8, eval_every=8, batch_size=50)


def class_noise(pair, data, starts):
    """The cells of class-noise under the second network, which take so many starts."""
    question = Question(layers=("stem", "block2"), controls=("class-noise",), starts=starts, fit=FIT)
    found = plan([tuple(map(describe_donor, pair))], question, data_config(data))
    return [cell for cell in found if cell.config["control"] == "class-noise"]


def test_cells_run_as_many_at_a_time_as_memory_takes(cells, bench, pair):
    some = cells["pair"]
    ((size, part),) = chunked(some, *pair, bench)
    assert part == [0, 1]
    bench.memory = size - 1
    assert [part for _, part in chunked(some, *pair, bench)] == [[0], [1]]
    together = [f.record for f in run_sweep(some, bench)]
    assert [r.cell for r in together] == [c.hash for c in some]
    assert all(r.metric("penalty") is not None for r in together)


def test_of_several_starts_the_best_on_validation_data_is_kept(pair, digits, bench):
    bench.spec, looks = FIT, {}
    bench.watch = lambda title, _, values: looks.setdefault(title, []).append((values["val/error"], values["val/loss"]))
    cells = class_noise(pair, digits, 3)
    found = [f.record for f in run_sweep(cells, bench)]
    assert [r.cell for r in found] == [c.hash for c in cells]
    for record in found:
        layer = record.top.layer
        starts = [seen for title, seen in looks.items() if f"@{layer}" in title]
        best = min(starts, key=min)
        assert [tuple(look[1:]) for look in record.history] == best
        said = f"the best of {len(starts)} starts, by validation error"
        assert (said in record.notes) == (len(starts) > 1)
    assert len(looks) > len(cells)  # one at least has failed at first


def test_starts_that_were_stopped_go_on_to_the_same_records(pair, digits, bench, tmp_path, monkeypatch):
    bench.spec, cells = FIT, class_noise(pair, digits, 3)
    whole = [f.record for f in run_sweep(cells, bench)]
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)
    bench.unfinished = tmp_path

    def stop(title, step, values):
        if "start 2" in title and step:
            raise KeyboardInterrupt

    bench.watch = stop
    with pytest.raises(KeyboardInterrupt):
        list(run_sweep(cells, bench))
    assert len(list(tmp_path.iterdir())) == 2
    bench.watch = None
    again = [f.record for f in run_sweep(cells, bench)]
    assert [(r.cell, r.history, r.notes) for r in again] == [(r.cell, r.history, r.notes) for r in whole]
    assert [r.metric("penalty").value for r in again] == [r.metric("penalty").value for r in whole]
    assert not list(tmp_path.iterdir())
