"""The loop: each stream takes its own steps, and the state with the best validation error is kept."""

import pytest
import torch

from modelstitch import compare
from modelstitch.engine.evaluate import outcomes
from modelstitch.engine.fit import loop
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.loop import train
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.fit.run import Run
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.errors import FitError
from modelstitch.network import fingerprint
from modelstitch.records.record import equal_results
from modelstitch.stitchers import Affine
from modelstitch.study.store import Store
from modelstitch.support.files import SetAside
from modelstitch.support.resume import Unfinished

CPU = torch.device("cpu")


def fitted(pair, digits, objective="task", **options):
    spec = FitSpec(**{"batch_size": 50, "steps": 6, "eval_every": 2, "samples": None, **options})
    ticks = []
    sweep = Sweep(NetworkSender(pair[0]), pair[1], digits, spec, CPU, tick=ticks.append)
    streams = [
        open_stream(
            i,
            sweep.sender,
            sweep.top,
            "block1",
            t,
            family=Affine,
            options={},
            objective=objective,
            init=spec.init,
            later=(),
            device=CPU,
        )
        for i, t in enumerate(("block1", "block3"))
    ]
    collect(streams, sweep)
    solve(streams, sweep)
    starts = [{k: v.clone() for k, v in s.stitcher.state_dict().items()} for s in streams]
    train(streams, sweep)
    return streams, sweep, starts, ticks


def test_the_kept_state_is_the_best_that_was_looked_at(pair, digits):
    before = [fingerprint(network.module) for network in pair]
    streams, sweep, _, _ = fitted(pair, digits, init="random", learning_rate=0.05)
    for stream, outcome in zip(streams, outcomes(streams, sweep, "val")):
        errors = [error for _, error, _ in stream.history]
        assert [step for step, *_ in stream.history] == [0, 2, 4, 6]
        assert outcome.error == pytest.approx(min(errors))
        assert stream.steps in [step for step, error, _ in stream.history if error == min(errors)]
        assert min(errors) < errors[0]  # a random start is not the best
    assert [fingerprint(network.module) for network in pair] == before


def test_a_match_takes_no_step(pair, digits):
    streams, _, starts, _ = fitted(pair, digits, "match")
    for stream, start in zip(streams, starts):
        assert stream.history == []
        assert stream.stopped == "closed form"
        assert all(torch.equal(v, start[k]) for k, v in stream.stitcher.state_dict().items())


def test_patience_ends_a_fit_that_gets_no_better(pair, digits):
    streams, _, starts, ticks = fitted(
        pair, digits, learning_rate=1e-12, adapt_rate=False, steps=40, eval_every=1, patience=2
    )
    for stream, start in zip(streams, starts):
        assert len(stream.history) < 12
        assert all(torch.allclose(v, start[k], atol=1e-5) for k, v in stream.stitcher.state_dict().items())
    assert sum(ticks) >= 40  # what is not done counts as done


@pytest.mark.slow
def test_a_fit_ends_where_the_steps_left_would_gain_too_little(pair, digits):
    options = {"learning_rate": 1e-6, "adapt_rate": False, "steps": 40, "eval_every": 2, "patience": 40}
    for early in (True, False):
        streams, _, _, ticks = fitted(pair, digits, **options, stop_early=early)
        for stream in streams:
            last, *_ = stream.history[-1]
            assert (last < 40) is early
            said = f"done after {last} steps: those left would gain less than ten thousand samples tell"
            assert stream.stopped == (said if early else "all steps done")
        assert sum(ticks) >= 40


@pytest.mark.slow
def test_a_control_ends_where_its_looks_say_what_it_is_for(pair, digits):
    options = {"layers": ["block3"], "both": False, "steps": 40, "eval_every": 4, "batch_size": 50, "device": "cpu"}
    options["optimizer"] = "adam"  # Muon's loss on true labels rises at once, which ends the fit before
    early, whole = (
        {
            r.control: r
            for r in compare(*pair, digits, controls=("shuffled", "class-noise"), stop_early=stop, **options).records
        }
        for stop in (True, False)
    )
    for record in (early["shuffled"], whole["shuffled"]):
        assert next(m.low for m in record.metrics if m.name == "penalty") > 10.0
    (said,) = [note for note in early["shuffled"].notes if note.startswith("stopped: ")]
    last, *_ = early["shuffled"].history[-1]
    assert said == f"stopped: decided after {last} steps: its penalty stays beyond 10, and is at most what is said"
    assert last < 40
    assert "decided" not in " ".join([*early["pair"].notes, *whole["shuffled"].notes])


def test_a_fit_that_still_gains_goes_on(pair, digits):
    streams, *_ = fitted(pair, digits, init="random", learning_rate=0.05, steps=12, eval_every=2)
    for stream in streams:
        assert stream.history[-1][0] >= 8
        assert stream.history[-1][1] < stream.history[1][1]


def test_the_bottom_runs_no_further_than_open_streams_need(pair, digits, monkeypatch):
    asked, open_ = [], loop.open_quick
    monkeypatch.setattr(
        loop, "open_quick", lambda sender, layers, device: (asked.append(layers), open_(sender, layers, device))[1]
    )
    look = Run.look

    def closing(self, step, outcome):
        look(self, step, outcome)
        self.open = self.open and not (step == 4 and self.stream.bottom_layer == "block3")

    monkeypatch.setattr(Run, "look", closing)
    found = compare(
        *pair, digits, layers=["block1", "block3"], controls=(), both=False, steps=8, eval_every=4, device="cpu"
    )
    assert asked == [["block1", "block3"], ["block1"]]
    monkeypatch.undo()
    alone = compare(*pair, digits, layers=["block1"], controls=(), both=False, steps=8, eval_every=4, device="cpu")
    assert alone.records[0].history == found.records[0].history


@pytest.mark.slow
def test_two_fits_are_equal(pair, digits):
    one, other = (fitted(pair, digits)[0] for _ in range(2))
    for a, b in zip(one, other):
        assert a.history == b.history
        assert all(
            torch.equal(x, y) for x, y in zip(a.stitcher.state_dict().values(), b.stitcher.state_dict().values())
        )


FIT = {"steps": 10, "eval_every": 4, "batch_size": 100, "start_samples": 200, "device": "cpu", "both": False}
CASES = {
    "whitened, by muon": {"family": ("affine", "conv:3"), "optimizer": "muon"},
    "whitened, by adam": {"family": ("affine", "conv:3"), "optimizer": "adam"},
    "two stages": {"objective": [("task", "distill")], "family": ("low-rank:4",)},
    "one stage beside two": {"objective": ["match", "task", ("distill", "task")]},
    "moving statistics, from random": {
        "normalisation": "batch",
        "family": ("norm-affine-norm", "mlp"),
        "init": "random",
    },
    "re-estimated statistics": {"normalisation": "recalibrated"},
    "controls": {"controls": ("self", "random", "class-noise", "shuffled")},
    "no more patience": {"eval_every": 1, "patience": 1, "learning_rate": 10.0},
    "several passes": {"batch_size": 400},
    "fits that end early": {
        "steps": 24,
        "eval_every": 2,
        "learning_rate": 1e-6,
        "patience": 20,
        "family": ("mlp", "affine"),
    },
    "controls that are decided": {"controls": ("random", "class-noise", "shuffled"), "steps": 12, "eval_every": 2},
    "looks at a part of the split": {"look": 16, "eval_every": 2, "patience": 1, "learning_rate": 0.1},
    "kept activations": {"augment": False, "cache": 0.1, "steps": 25},
    "no room to keep activations": {"augment": False, "cache": 1e-6},
}


GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


def run(pair, digits, out, stop=None, **options):
    """A comparison; with ``stop`` it is interrupted after so many steps of the first sweep."""
    options = {"controls": (), "layers": ("block1", "block3"), **FIT, **options}
    calls = []

    def tell(what, done, total):
        calls.append(done)
        if len(calls) == stop:
            raise KeyboardInterrupt

    try:
        return compare(*pair, digits, out=out, tell=tell, **options)
    except KeyboardInterrupt:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_stopped_fit_goes_on_and_ends_alike(pair, digits, tmp_path, monkeypatch, case):
    monkeypatch.setattr(Unfinished, "due", True)
    whole = run(pair, digits, tmp_path / "whole", **CASES[case]).records
    assert not (tmp_path / "whole" / "unfinished").exists()
    taken_up = []
    load = loop.TakenUp.put

    def put(self, runs):
        taken_up.extend([self.at] if self else [])
        load(self, runs)

    monkeypatch.setattr(loop.TakenUp, "put", put)
    stops = 0
    for stop in (9, 16, 30, 31, 3):
        stops += run(pair, digits, tmp_path / "pieces", stop, **CASES[case]) is None
    again = run(pair, digits, tmp_path / "pieces", **CASES[case]).records
    assert stops > 0
    assert any(at.step > 0 for at in taken_up)
    assert len(again) == len(whole)
    for one, other in zip(whole, again):
        assert equal_results(one, other)
    assert not (tmp_path / "pieces" / "unfinished").exists()


def test_what_is_left_of_other_stitchers_is_refused(pair, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "due", True)
    assert run(pair, digits, tmp_path, 10) is None
    (file,) = (tmp_path / "unfinished").iterdir()
    state = Unfinished(file).read()
    state["runs"] = dict(list(state["runs"].items())[:1])
    Unfinished(file).write(state)
    with pytest.raises(
        FitError, match=r"The unfinished fit is of other stitchers .*: .*delete the folder 'unfinished'"
    ):
        run(pair, digits, tmp_path)


@pytest.mark.slow
def test_a_damaged_state_is_begun_anew(pair, digits, tmp_path, monkeypatch):
    whole = run(pair, digits, tmp_path / "whole").records
    monkeypatch.setattr(Unfinished, "due", True)
    assert run(pair, digits, tmp_path / "pieces", 10) is None
    (file,) = (tmp_path / "pieces" / "unfinished").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # torch.load would not notice
    file.write_bytes(content)
    with pytest.warns(SetAside, match="changed since it was written"):
        again = run(pair, digits, tmp_path / "pieces").records
    assert all(equal_results(one, other) for one, other in zip(whole, again))


@pytest.mark.slow
def test_stopped_between_two_records_the_rest_is_not_fitted_again(pair, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "due", True)
    options = {"objective": ["match", "task", ("distill", "task")]}
    whole = run(pair, digits, tmp_path / "whole", **options).records
    write, written = Store.write, []

    def stopped(store, record):
        write(store, record)
        written.append(record)
        if len(written) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", stopped)
    assert run(pair, digits, tmp_path / "pieces", **options) is None
    monkeypatch.setattr(Run, "step", None)  # a step would fail
    again = run(pair, digits, tmp_path / "pieces", **options).records
    for one, other in zip(whole, again, strict=True):
        assert (one.cell, one.history, one.notes) == (other.cell, other.history, other.notes)
        numbers = [{m.name: m.value for m in record.metrics} for record in (one, other)]
        assert numbers[1] == pytest.approx(numbers[0], rel=1e-12)  # last bits depend on what is measured beside it
    assert not (tmp_path / "pieces" / "unfinished").exists()


@pytest.mark.slow
def test_a_state_of_other_cells_is_not_taken_up_nor_its_seconds(pair, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "due", True)
    whole = run(pair, digits, tmp_path / "whole").records
    assert run(pair, digits, tmp_path / "pieces", 10) is None
    (file,) = (tmp_path / "pieces" / "unfinished").iterdir()
    long = Unfinished(file)
    state = long.read()
    state["streams"].popitem()
    long.before = 9e6
    long.write(state)
    again = run(pair, digits, tmp_path / "pieces").records
    assert all(equal_results(one, other) for one, other in zip(whole, again))
    assert all(r["provenance"]["seconds"] < 9e5 for r in again)


def test_a_state_that_outlived_its_records_is_removed(pair, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "due", True)
    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "clear", lambda self: None)
        run(pair, digits, tmp_path)
    assert len(list((tmp_path / "unfinished").iterdir())) == 1
    run(pair, digits, tmp_path)
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.slow
def test_a_fit_goes_on_in_the_batches_that_memory_had_room_for(pair, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "due", True)
    step = Run.step

    def short(self, activation, *rest):
        if len(activation) == 100:
            raise MemoryError
        step(self, activation, *rest)

    monkeypatch.setattr(Run, "step", short)
    whole = run(pair, digits, tmp_path / "whole").records
    assert run(pair, digits, tmp_path / "pieces", 20) is None
    monkeypatch.setattr(Run, "step", step)  # there would be room again
    again = run(pair, digits, tmp_path / "pieces").records
    assert all("batch size 50 instead of 100" in " ".join(r["notes"]) for r in again)
    assert [equal_results(one, other) for one, other in zip(whole, again)] == [True] * len(whole)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_on_a_gpu_a_stopped_fit_goes_on_too(pair, digits, tmp_path, monkeypatch, device):
    """Sums in another order differ in their last digits there: losses are alike, not equal."""
    monkeypatch.setattr(Unfinished, "due", True)
    options = {"device": device, "init": "random", "layers": ("block1",)}
    whole = run(pair, digits, tmp_path / "whole", **options).records
    assert run(pair, digits, tmp_path / "pieces", 12, **options) is None
    load, steps = loop.TakenUp.put, []
    monkeypatch.setattr(loop.TakenUp, "put", lambda self, runs: (steps.append(self.at.step), load(self, runs))[1])
    again = run(pair, digits, tmp_path / "pieces", **options).records
    assert max(steps) > 0
    for one, other in zip(whole, again):
        a, b = ({m["metric"]: m["value"] for m in record["metrics"]} for record in (one, other))
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-2)
