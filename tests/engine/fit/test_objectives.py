"""What a stitcher may be fitted to, each from end to end: from Python, and from the command line."""

import json

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors.torch import save_file

from modelstitch import Network, compare, stitch
from modelstitch.cli import cli
from modelstitch.engine.fit.objectives import BELOW, PREFIX, Wanted, checked, name_of, stages
from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import FitError, StitchError
from modelstitch.network import OUTPUT
from modelstitch.zoo.nets import build

QUICK = {"steps": 8, "eval_every": 4, "device": "cpu"}


def cross_entropy(stitched, genuine, labels):
    return F.cross_entropy(stitched["output"], labels)


@pytest.mark.parametrize(
    ("layer", "options", "looked"),
    [
        ("block1", {}, ("pool", "block2", "block3", OUTPUT)),
        ("block3", {}, (OUTPUT,)),
        ("block1", {"downstream": "penultimate"}, ("block3",)),
        ("block3", {"downstream": "penultimate"}, (OUTPUT,)),
        ("block1", {"downstream": ("block2", "output")}, ("block2", OUTPUT)),
        ("block2", {"downstream": ("block1", "block3")}, ("block3",)),
    ],
)
def test_downstream_looks_where_it_is_told(pair, layer, options, looked):
    _, top = pair
    (stage,) = stages("downstream", top, layer, FitSpec(**options))
    assert stage.later == tuple(n for n in looked if n != OUTPUT)
    genuine = {name: torch.randn(6, 3, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(looked)}
    found = {name: value + 0.1 * (i + 1) for i, (name, value) in enumerate(genuine.items())}
    slow = sum(
        float(((found[n] - genuine[n]) ** 2).sum() / ((genuine[n] - genuine[n].mean(0)) ** 2).sum()) for n in looked
    ) / len(looked)
    wanted = Wanted(genuine, torch.zeros(6, dtype=torch.long), None)
    assert float(stage.loss(found, wanted)) == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("target", ["top", "bottom"])
def test_distill_is_the_divergence_from_its_target_at_a_temperature(pair, target):
    (stage,) = stages("distill", pair[1], "block2", FitSpec(temperature=3.0, targets=target))
    assert (stage.genuine, stage.below) == (target == "top", target == "bottom")
    generator = torch.Generator().manual_seed(0)
    student, teacher, other = (torch.randn(5, 10, generator=generator) for _ in range(3))
    values = {OUTPUT: teacher, BELOW: other} if target == "top" else {OUTPUT: other, BELOW: teacher}
    p, q = (teacher / 3).softmax(-1), (student / 3).softmax(-1)
    slow = 9 * float((p * (p / q).log()).sum(-1).mean())
    wanted = Wanted(values, torch.zeros(5, dtype=torch.long), None)
    assert float(stage.loss({OUTPUT: student}, wanted)) == pytest.approx(slow, rel=1e-5)


@pytest.mark.slow
def test_distilled_to_the_bottom_it_answers_more_like_the_bottom(pair, digits):
    bottom, top = pair
    x = torch.cat([batch.inputs for batch in digits.batches("test", 200)])

    def apart(target):
        s = stitch(
            bottom, top, "block2", digits, objective="distill", targets=target, steps=60, eval_every=60, device="cpu"
        )
        return float(F.kl_div(s(x).log_softmax(-1), bottom(x).log_softmax(-1), log_target=True, reduction="batchmean"))

    assert apart("bottom") < apart("top")


def test_two_stages_run_one_after_the_other(pair, digits):
    s = stitch(*pair, "block2", digits, objective="downstream+task", **QUICK)
    assert [step for step, _, _ in s.record["history"]] == [0, 4, 8, 0, 4, 8]


@pytest.mark.slow
def test_a_loss_of_ones_own_that_is_the_task_is_the_task(pair, digits):
    own, task = (stitch(*pair, "block2", digits, objective=o, **QUICK) for o in (cross_entropy, "task"))
    assert torch.equal(own.stitcher.weight, task.stitcher.weight)
    assert own.record["config"]["objective"] == name_of(cross_entropy)
    assert name_of(cross_entropy).startswith("own:cross_entropy:")


@pytest.mark.slow
def test_a_loss_of_ones_own_may_be_one_of_two_stages(pair, digits):
    own, plain = (
        stitch(*pair, "block2", digits, objective=("downstream", o), **QUICK) for o in (cross_entropy, "task")
    )
    assert torch.equal(own.stitcher.weight, plain.stitcher.weight)
    assert own.record["config"]["objective"] == f"downstream+{name_of(cross_entropy)}"
    several = compare(
        *pair,
        digits,
        layers=["block2"],
        objective=["match", ("downstream", cross_entropy)],
        controls=(),
        both=False,
        **QUICK,
    )
    assert [r["config"]["objective"] for r in several.records] == ["match", own.record["config"]["objective"]]


@pytest.mark.slow
def test_a_loss_of_ones_own_sees_the_layers_it_asks_for(pair, digits, tmp_path):
    seen = {}

    def near(stitched, genuine, labels):
        seen.update({name: value.shape[1:] for name, value in genuine.items()})
        return (stitched["block3"] - genuine["block3"]).square().mean()

    options = {**QUICK, "layers": ["block1", "block2"], "controls": (), "both": False, "downstream": ["block3"]}
    result = compare(*pair, digits, objective=["task", near], out=tmp_path / "c", **options)
    assert seen["block3"] == pair[1].layer("block3").shape
    assert seen["output"] == (10,)
    assert {r["config"]["objective"] for r in result.records} == {"task", name_of(near)}
    assert "own:near" in result.report(tmp_path / "r.html").read_text(encoding="utf-8")


def test_another_code_is_another_loss():
    def make(factor):
        def loss(stitched, genuine, labels):
            return factor * stitched["output"].square().mean()

        return loss

    assert name_of(make(2)) == name_of(make(2)) != name_of(make(3))
    assert name_of(lambda s, g, y: s["output"].mean()) != name_of(lambda s, g, y: s["output"].sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"objective": lambda s, g, y: s["output"].mean(0)},
            "must return one number computed from the stitched values, found shape (10,)",
        ),
        ({"objective": lambda s, g, y: 1.0}, "found float"),
        ({"objective": lambda s, g, y: s["output"].detach().mean()}, "does not depend on the stitched values"),
        (
            {"objective": lambda s, y: s["output"].mean()},
            "must take (stitched, genuine, labels), found <lambda>(s, y): take all three",
        ),
        ({"objective": len}, "expected a name such as 'task', a function"),
        ({"objective": ()}, "The option 'objective' is wrong: expected match, sensitivity, task"),
        (
            {"objective": "downstream", "downstream": ["block1"]},
            "None of the layers block1 lies behind 'block2' in 'one'",
        ),
        ({"objective": "downstream", "downstream": ["blok3"]}, "has no layer 'blok3': did you mean 'block3'"),
        ({"objective": "distill", "targets": "both"}, "'targets' is wrong"),
        ({"objective": "distill", "temperature": 0.0}, "'temperature' is wrong"),
    ],
)
def test_mistakes_get_one_sentence(pair, digits, options, words):
    with pytest.raises(StitchError) as error:
        stitch(*pair, "block2", digits, **{**QUICK, **options})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_bottom_can_be_distilled_only_where_it_has_the_same_classes(modules, pair, digits):
    from conftest import Small

    five = Small(16)
    five.head = torch.nn.Linear(16, 5)
    bottom = Network(five.eval(), torch.zeros(2, 1, 8, 8), "five")
    with pytest.raises(StitchError, match=r"has shape \(128, 5\), the stitched output \(128, 10\): expected the same"):
        stitch(bottom, pair[1], "block2", digits, objective="distill", targets="bottom", **QUICK)
    with pytest.raises(StitchError, match="class-noise is no network and has no output to distill from"):
        compare(
            *pair, digits, layers=["block2"], objective="distill", targets="bottom", controls=("class-noise",), **QUICK
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--objective", "match"],
        ["--objective", "distill", "--temperature", "4", "--targets", "bottom"],
        ["--objective", "downstream", "--downstream", "penultimate"],
        ["--objective", "downstream+task", "--normalisation", "recalibrated", "--memory", "1"],
    ],
)
def test_the_command_line_fits_the_same(options, tmp_path):
    net = "zoo:small-resnet?width=4"
    args = [
        "stitch",
        f"{net}@block1",
        f"{net}@block1",
        "--steps",
        "2",
        "--out",
        str(tmp_path / "s"),
        "--device",
        "cpu",
        *options,
    ]
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "s" / "stitch.json").read_text(encoding="utf-8"))["record"]
    assert record["config"]["objective"] == options[1]
    for name, value in zip(options[2::2], options[3::2], strict=True):
        key = name.removeprefix("--")
        if key in record["config"]["fit"]:
            assert str(record["config"]["fit"][key]).removesuffix(".0") == value


@pytest.mark.slow
def test_the_command_line_compares_with_everything(tmp_path):
    net, other = "zoo:small-resnet?width=4", tmp_path / "other.safetensors"
    save_file(build("small-resnet?width=4", seed=1, classes=10).state_dict(), other)
    args = [
        "compare",
        net,
        net,
        "--layers",
        "block1",
        "--one-way",
        "--steps",
        "2",
        "--seeds",
        "2",
        "--fit-samples",
        "40,80",
        "--control",
        "recalibration",
        "--control",
        "other-seed",
        "--other-seed",
        net,
        "--other-seed-weights",
        str(other),
        "--second",
        "noise:0.3",
        "--tensorboard",
        str(tmp_path / "log"),
        "--out",
        str(tmp_path / "c"),
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "n=2" in result.output
    assert "40 examples" in result.output
    assert "recalibration" in result.output
    assert list((tmp_path / "log").iterdir())
    html = (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
    assert "on the second test set" in html
    assert "fit examples of the stitcher" in html
    wrong = CliRunner().invoke(cli, ["compare", net, net, "--fit-samples", "many"])
    assert "expected numbers of examples such as 1000 or 100,1000,10000, found 'many'" in wrong.output


def halved(stitched, genuine, labels):
    return (stitched["output"] - genuine["output"]).square().mean() / 2


def scaled(factor):
    def loss(stitched, genuine, labels):
        return factor * stitched["output"].mean()

    return loss


def wanted(values):
    return Wanted(values, torch.tensor([0, 1]), None)


def test_the_name_tells_functions_apart_by_what_they_compute():
    assert name_of(halved).startswith(f"{PREFIX}halved:")
    assert name_of(scaled(2.0)) == name_of(scaled(2.0))
    assert len({name_of(loss) for loss in (halved, scaled(2.0), scaled(3.0))}) == 3


def test_a_nameless_function_has_a_name_without_brackets():
    assert name_of(lambda stitched, genuine, labels: stitched["output"].mean()).startswith("own:lambda:")


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("mse", "The objective 'mse' is no objective: expected a name such as 'task', a function"),
        (torch.nn.MSELoss(), "is no objective"),
        (
            lambda stitched, genuine: 0,
            r"must take \(stitched, genuine, labels\), found <lambda>\(stitched, genuine\): take all three",
        ),
    ],
)
def test_what_is_no_loss_is_refused(loss, words):
    with pytest.raises(StitchError, match=words):
        name_of(loss)


def test_it_sees_the_output_by_the_name_that_users_know():
    seen = {}

    def loss(stitched, genuine, labels):
        seen.update(stitched=set(stitched), genuine=set(genuine), labels=labels.tolist())
        return halved(stitched, genuine, labels)

    x = torch.tensor([[1.0], [3.0]], requires_grad=True)
    found = checked("own", loss)({OUTPUT: x, "block": x}, wanted({OUTPUT: torch.zeros(2, 1)}))
    assert seen == {"stitched": {"output", "block"}, "genuine": {"output"}, "labels": [0, 1]}
    assert found.item() == pytest.approx((1 + 9) / 4)
    assert found.shape == ()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda s, g, y: 1.0, "found float: reduce it with .mean"),
        (lambda s, g, y: s["output"], r"found shape \(2, 1\)"),
        (lambda s, g, y: s["output"].mean().detach(), "found a number that does not depend on the stitched values"),
    ],
)
def test_what_it_returns_is_checked(loss, words):
    x = torch.ones(2, 1, requires_grad=True)
    with pytest.raises(
        FitError, match=f"The loss 'mine' must return one number computed from the stitched values, {words}"
    ):
        checked("mine", loss)({OUTPUT: x}, wanted({OUTPUT: x}))
