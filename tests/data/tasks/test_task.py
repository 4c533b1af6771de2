"""A task of one's own: what it gives is checked, stated, and the same at every door."""

import numpy as np
import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.data.tasks import DENSE, MULTI_LABEL, REGRESSION, TASKS, Retrieval, inferred, task_of
from modelstitch.data.tasks.task import finite, stacked
from modelstitch.engine.measure import Tally
from modelstitch.errors import DataError, FitError, NonFiniteError, StitchError
from modelstitch.records.record import check

OUT, LABELS = torch.arange(12.0).reshape(4, 3), torch.zeros(4, 3)


def distance(output, labels):
    return (output - labels).norm(dim=1)


def sharpness(output, labels):
    return output.mean(1)


def judged(task, output=OUT, labels=LABELS):
    tally = Tally(task, whole=True, constant=output.mean(0))
    tally.add(output, labels, torch.arange(len(labels)))
    return tally.outcome()


def test_an_error_is_what_the_function_gives():
    found = judged(ms.Task("position", distance, unit="mm"))
    assert found.errors.tolist() == pytest.approx(OUT.norm(dim=1).tolist())
    assert (found.unit, found.error_unit, found.predictions, found.numbers) == ("mm", "mm", None, {})
    assert found.chance == pytest.approx(float(OUT.mean(0).norm()))


def test_a_score_is_an_error_with_its_sign_turned():
    found = judged(ms.Task("sharp", sharpness, unit="dB", better="higher", near=0.5))
    assert found.errors.tolist() == [-1, -4, -7, -10]
    assert (found.error, found.chance, found.near) == (-5.5, -5.5, 0.5)
    assert (found.unit, found.error_unit, found.numbers) == ("dB", "dB (sign turned)", {"score": (5.5, "dB")})


def test_weights_say_what_a_sample_counts():
    labels = torch.stack([torch.tensor([0.0, 0.0, n]) for n in (1.0, 0.0, 0.0, 3.0)])
    task = ms.Task("weighted", sharpness, weight=lambda labels: labels[:, 2])
    assert judged(task, labels=labels).error == pytest.approx((1 * 1 + 3 * 10) / 4)
    assert float(task.fitted(OUT, labels)) == pytest.approx((1 * 1 + 3 * 10) / 4)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ms.Task("", distance), StitchError, "A task's name is '': expected words"),
        (lambda: ms.Task("a", 3), StitchError, "The error of the task 'a' is 3: expected a function"),
        (lambda: ms.Task("a", distance, better="more"), StitchError, "better='more': expected 'lower' or 'higher'"),
        (lambda: ms.Task("a", distance, near=0), StitchError, "near=0: expected a number above 0"),
        (lambda: task_of("colours"), DataError, "The task 'colours' is unknown: expected 'classification'"),
        (
            lambda: judged(ms.Task("a", lambda o, y: o)),
            FitError,
            r"one number for each of 4 samples, found shape \(4, 3\)",
        ),
        (lambda: judged(ms.Task("a", lambda o, y: 1.0)), FitError, "for each of 4 samples, found float"),
        (
            lambda: judged(ms.Task("a", lambda o, y: o @ y)),
            FitError,
            r"The error of the task 'a' fails on outputs of .*",
        ),
        (lambda: judged(ms.Task("a", lambda o, y: o[:, 0] / 0)), NonFiniteError, "The error is NaN or infinite"),
        (
            lambda: judged(ms.Task("a", sharpness, weight=lambda y: -torch.ones(4))),
            FitError,
            "weight of the task 'a' must give a number of 0 or more",
        ),
        (
            lambda: finite(torch.tensor([1.0, torch.nan]), "x"),
            DataError,
            "1 label of x holds NaN or infinity, the first is at place 1",
        ),
        (
            lambda: ms.Task("a", lambda o, y: o.detach().norm(dim=1)).fitted(OUT.clone().requires_grad_(), LABELS),
            FitError,
            "The task 'a' has nothing to fit: its error does not depend on the output",
        ),
        (lambda: TASKS["regression"].measured_by(3), StitchError, "The metric 3 is none: expected a function"),
    ],
)
def test_what_cannot_be_used_is_told(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_what_is_stated_changes_with_the_code():
    one, other = ms.Task("a", distance), ms.Task("a", sharpness)
    assert one.stated() == ms.Task("a", distance).stated()
    assert one.stated()["code"] != other.stated()["code"]
    assert TASKS["regression"].stated() == {
        "name": "regression",
        "unit": "MSE",
        "says": "the squared difference to the label, the mean over its numbers",
    }
    assert inferred(1).name == "classification"
    assert inferred(2).name == "next-token"


@pytest.fixture(scope="module")
def positions():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=generator)
    y = torch.tanh(x @ torch.randn(6, 2, generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    optimiser = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(150):
        optimiser.zero_grad()
        distance(module(x[:150]), y[:150]).mean().backward()
        optimiser.step()
    splits = [(x[a:b], y[a:b]) for a, b in ((0, 150), (150, 200), (200, 300))]
    return ms.Network(module.eval(), x[:2], "net"), splits


def test_a_task_of_ones_own_from_a_stitch_to_the_page(positions, tmp_path):
    network, splits = positions
    data = ms.Data(*splits, task=ms.Task("position", distance, unit="mm", says="the distance to the place"))
    r = ms.compare([network], data=data, layers="1", steps=4, eval_every=2, controls=("self", "random"))
    record = r.records[0]
    own = distance(network(splits[2][0]), splits[2][1]).mean()
    assert record.metric("top_error").value == pytest.approx(float(own), rel=1e-5)
    assert {record.metric(name).unit for name in ("penalty", "error", "top_error", "chance_error")} == {"mm"}
    assert record.data["task"]["name"] == "position"
    assert ms.study.Record.of(record.plain()).metrics == record.metrics
    page = r.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Here the task is position, and an error of one sample is the distance to the place, in mm." in page
    assert " points" not in page
    assert "class-noise" not in {one.control for one in r.records}
    pooled = r.pooled.filter(control="pair")
    assert pooled["unit"].to_list() == ["mm"]
    assert r.examples["unit"].unique().to_list() == ["mm"]
    with pytest.raises(
        StitchError, match="class-noise control needs one class label per sample: leave it out for the task position"
    ):
        ms.compare([network], data=data, controls="class-noise")


def test_a_record_of_small_errors_cannot_lie(positions):
    network, splits = positions
    tiny = ms.Task("tiny", lambda output, labels: 1e-7 * distance(output, labels), unit="m")
    plain = ms.stitch(network, network, "1", ms.Data(*splits, task=tiny), objective="match").record.plain()
    check(ms.study.Record.of(plain), named=True)
    assert ms.study.Record.of(plain).metric("error").value < 1e-6
    for metric in plain["metrics"]:
        if metric["metric"] in ("error", "top_error"):
            metric["value"] *= 1.01
    with pytest.raises(StitchError, match="the kept answers give"):
        check(ms.study.Record.of(plain), named=True)


def test_another_metric_changes_the_errors_alone(positions):
    network, splits = positions
    data = ms.Data(*splits, task="regression")

    def largest(output, labels):
        return (output - labels).abs().amax(1)

    plain, other = (
        ms.stitch(network, network, "1", data, objective="match", metric=metric) for metric in (None, largest)
    )
    output = other.predict(splits[2][0])
    assert other.metrics["error"] == pytest.approx(float(largest(output, splits[2][1]).mean()), rel=1e-5)
    assert other.metrics["loss"] == pytest.approx(plain.metrics["loss"])
    assert other.record.metric("penalty").unit == "largest"
    assert other.record.data["task"]["metric"]["name"] == "largest"
    assert "label_r2" in plain.metrics
    classes = ms.Data(*((x, (y[:, 0] > 0).long()) for x, y in splits), name="classes")
    with pytest.raises(
        StitchError, match="The second test set classes is of the task classification, the data data of"
    ):
        ms.stitch(network, network, "1", data, objective="match", second=classes)


N = 9


def made(name):
    g = torch.Generator().manual_seed(3)
    if name == "regression":
        return REGRESSION, torch.randn(N, 2, generator=g), 5 + torch.randn(N, 2, generator=g)
    if name == "multi-label":
        return MULTI_LABEL, torch.randn(N, 3, generator=g).mul(2).round(), torch.arange(3 * N).reshape(N, 3) % 4 // 2
    if name == "dense":
        labels = torch.randint(-1, 4, (N, 2, 3), generator=g)
        return DENSE, torch.randn(N, 4, 2, 3, generator=g), torch.where(labels < 0, -100, labels)
    gallery = torch.randn(6, 4, generator=g)
    return (
        Retrieval(gallery, torch.arange(6)),
        gallery[torch.arange(N) % 6] + torch.randn(N, 4, generator=g),
        (torch.arange(N) % 6),
    )


def counted(task, output, labels):
    found = task.counted()
    for some in torch.arange(len(labels)).split(4) if len(labels) else ():
        found.add(output[some], labels[some])
    return found


@pytest.mark.parametrize("name", ["regression", "multi-label", "dense", "retrieval"])
def test_a_sample_that_is_drawn_twice_counts_as_two(name):
    task, output, labels = made(name)
    whole = counted(task, output, labels)
    draw = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), size=20)
    found = whole.drawn(draw.astype(float))
    assert whole.size[0] == N
    for at, counts in enumerate(draw):
        rows = torch.from_numpy(np.repeat(np.arange(N), counts))
        again = counted(task, output[rows], labels[rows]).numbers()
        assert set(again) == set(found) == set(whole.units)
        for key, (value, unit) in again.items():
            assert found[key][at] == pytest.approx(value, abs=1e-9)
            assert unit == whole.units[key]


@pytest.mark.parametrize("name", ["regression", "multi-label", "dense", "retrieval"])
@pytest.mark.parametrize("before", [0, 4, N])
def test_counts_go_on_from_their_state(name, before):
    task, output, labels = made(name)
    first, second = counted(task, output[:before], labels[:before]), task.counted()
    second.take_up(first.state())
    for some in torch.arange(before, N).split(4) if before < N else ():
        second.add(output[some], labels[some])
    whole = counted(task, output, labels)
    assert second.size == whole.size
    assert second.numbers() == whole.numbers()
    assert second.level() == whole.level()


def test_what_is_not_defined_for_some_samples_is_no_number():
    task, output, labels = made("regression")
    only = np.eye(N)[:1] * N
    assert np.isnan(counted(task, output, labels).drawn(only)["label_r2"]).all()
    task, output, _ = made("multi-label")
    assert counted(task, output, torch.zeros(N, 3)).numbers() == {}


def test_batches_are_stacked_in_double_precision():
    assert stacked([torch.ones(2, 1), torch.zeros(1, 1)]).tolist() == [[1.0], [1.0], [0.0]]
    assert stacked([torch.ones(2)]).dtype == np.float64
