"""A comparison with everything in it: controls, seeds, a curve over fit examples, logs; and what its records say."""

import pytest
import torch

from conftest import fit_small
from modelstitch import Data, Network, StitchError, compare, stitch
from modelstitch.stats import paired_test
from modelstitch.stats.examples import unpack
from modelstitch.study.sweeps import fitted as fits

pytestmark = pytest.mark.slow

QUICK = {"steps": 4, "eval_every": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def third(digits):
    return Network(fit_small(digits, 2, steps=40), torch.zeros(2, 1, 8, 8), "two")


@pytest.fixture(scope="module")
def everything(pair, digits, third, tmp_path_factory):
    """One layer, all controls, two seeds, two numbers of fit examples, one log."""
    log = tmp_path_factory.mktemp("log")
    controls = (
        "self",
        "other-seed",
        "random",
        "identity",
        "class-noise",
        "class-noise-strong",
        "shuffled",
        "recalibration",
    )
    result = compare(
        *pair,
        digits,
        layers=["block2"],
        both=False,
        controls=controls,
        seeds=(0, 1),
        other_seeds={"one": third},
        samples=[60, 400],
        tensorboard=log,
        **QUICK,
    )
    return result, log


def cells(result, control):
    return [r for r in result.records if r["config"]["control"] == control]


def test_every_control_has_its_cells(everything):
    result, _ = everything
    assert repr(result).startswith("Results(zero -> one: 4 stitches, ")
    counts = {c: len(cells(result, c)) for c in dict.fromkeys(r["config"]["control"] for r in result.records)}
    fitted = 2 * 2  # seeds and numbers of examples
    assert counts == {
        "pair": fitted,
        "self": fitted,
        "other-seed": fitted,
        "random": fitted,
        "class-noise": fitted,
        "class-noise-strong": fitted,
        "shuffled": fitted,
        "identity": 1,
        "recalibration": 1,
    }


def test_another_seed_of_the_top_stands_under_the_top(everything):
    result, _ = everything
    assert {(r["config"]["bottom"]["name"], r["config"]["top"]["name"]) for r in cells(result, "other-seed")} == {
        ("two", "one")
    }


def test_recalibration_has_no_map_and_says_its_policy(everything):
    result, _ = everything
    for record in cells(result, "recalibration"):
        config = record["config"]
        assert (config["family"], config["normalisation"]) == ("identity", "recalibrated")
        assert any(note.startswith("BatchNorm statistics re-estimated on fit data: ") for note in record["notes"])
    assert {r["config"]["normalisation"] for r in cells(result, "pair")} == {"frozen"}
    value = {
        c: next(m["value"] for m in cells(result, c)[0]["metrics"] if m["metric"] == "penalty")
        for c in ("identity", "recalibration")
    }
    assert value["identity"] != value["recalibration"]


def test_the_two_levels_of_class_noise_are_stated(everything):
    result, _ = everything
    assert all("noise over signal: 1" in r["notes"] for r in cells(result, "class-noise"))
    assert all("noise over signal: 3" in r["notes"] for r in cells(result, "class-noise-strong"))


def test_the_curve_over_fit_examples_is_in_the_frame_the_figure_and_the_page(everything, tmp_path):
    result, _ = everything
    rows = result.frame.filter(metric="penalty", control="pair")
    assert sorted(set(rows["samples"])) == [60, 400]
    assert result.figure("samples").axes[0].get_xlabel() == "fit examples of the stitcher"
    html = result.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "fit examples of the stitcher" in html
    assert "recalibration" in html


def test_records_carry_every_truth_check(everything):
    result, _ = everything
    for record in cells(result, "pair"):
        found = {m["metric"]: m["value"] for m in record["metrics"]}
        wanted = "relative_mse r2 cka ood ood_share collapsed_share agreement_top agreement_bottom agreement_chance"
        assert set(wanted.split()) <= set(found)
        assert 5 < found["agreement_chance"] < 15  # ten classes
        assert 0 <= found["cka"] <= 1


def test_records_keep_their_examples(everything):
    result, _ = everything
    for record in result.records:
        found = unpack(record)
        penalty = next(m["value"] for m in record["metrics"] if m["metric"] == "penalty")
        assert found.deltas.mean() == pytest.approx(penalty, abs=1e-9)


def test_seeds_are_pooled_and_two_penalties_are_tested(everything, digits):
    result, _ = everything
    row = result.pooled.filter(control="pair", samples=400).row(0, named=True)
    assert (row["pairs"], row["seeds"], row["examples"]) == (1, 2, digits.size("test"))
    assert row["low"] <= row["value"] <= row["high"]
    small, large = ([r for r in cells(result, "pair") if r["config"]["fit"]["samples"] == n] for n in (60, 400))
    found = paired_test(small, large)
    assert found.difference.seeds == 2
    assert 0 < found.p <= 1


def test_penalties_of_two_subsets_of_one_data_set_are_paired(pair, digits):
    some = [
        stitch(*pair, "block2", digits.subset(100, part=part), objective="match", device="cpu").record
        for part in (0, 1)
    ]
    assert len({record["config"]["data"]["fingerprint"] for record in some}) == 2
    assert paired_test(*some).difference.examples == digits.size("test")


def test_the_log_holds_a_curve_for_every_fit(everything):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, log = everything
    events = EventAccumulator(str(log))
    events.Reload()
    tags = events.Tags()["scalars"]
    tag = "zero@block2 -> one@block2/affine task, seed 1, 400 examples/val/error"
    assert tag in tags
    assert [event.step for event in events.Scalars(tag)] == [0, 4]
    assert "zero@block2 -> one@block2/shuffled, affine task, seed 0, 60 examples/fit/loss" in tags


def test_the_stitcher_sees_what_the_top_was_trained_on(modules, pair, digits):
    zero, _ = pair
    top = Network(modules[1], torch.zeros(2, 1, 8, 8), "one", trained_on=50)
    own = stitch(zero, top, "block2", digits, objective="match", device="cpu")
    assert own.record["config"]["data"]["fit"] == own.record["config"]["data"]["budget"] == 50
    first = stitch(zero, pair[1], "block2", digits.subset(50), objective="match", device="cpu")
    assert torch.equal(own.stitcher.weight, first.stitcher.weight)
    whole = stitch(zero, top, "block2", digits, objective="match", device="cpu", budget="all")
    assert whole.record["config"]["data"]["fit"] == digits.size("fit")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": [100, 100]}, "'samples' is wrong: expected a list without repetitions"),
        ({"samples": [100, 0]}, "'samples' is wrong"),
        ({"controls": ("noise",)}, "expected self, other-seed, random"),
        (
            {
                "controls": ("other-seed",),
                "other_seeds": {
                    "one": Network(
                        torch.nn.Sequential(
                            torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.ReLU(), torch.nn.Linear(10, 10)
                        ),
                        torch.zeros(2, 1, 8, 8),
                        "other",
                    )
                },
            },
            "is no other seed of 'one': expected the same architecture",
        ),
    ],
)
def test_mistakes_get_one_sentence(pair, digits, options, words):
    with pytest.raises(StitchError) as error:
        compare(*pair, digits, layers=["block2"], **{**QUICK, **options})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_random_bottom_of_two_donors_of_one_architecture_is_fitted_once(pair, digits, third, monkeypatch, tmp_path):
    """The same draw under two names: two records, one fit, the numbers that each would have alone."""
    zero, one = pair
    options = {"layers": ["block2", "block3"], "controls": ("random",), **QUICK}
    alone = compare([third, one], data=digits, pairs=[("two", "one")], **options).records
    swept = []
    opened = fits.job_of
    monkeypatch.setattr(fits, "job_of", lambda group, *rest: (swept.append(group), opened(group, *rest))[1])
    r = compare(
        [zero, one, third],
        data=digits,
        pairs=[("zero", "one"), ("two", "one"), ("zero", "two")],
        out=tmp_path / "out",
        **options,
    )

    assert len([group for group in swept if group[0].config["control"] == "random"]) == 2  # one a top
    found = {x["cell"]: x for x in r.records}
    for record in alone:
        one, other = ({m["metric"]: m["value"] for m in x["metrics"]} for x in (found[record["cell"]], record))
        assert one == pytest.approx(other, rel=1e-9)  # sums of all that is read at once: the last digits of CKA
        assert one["penalty"] == other["penalty"]
        assert found[record["cell"]]["config"] == record["config"]
    copied = [x for x in r.records if any("fitted once" in note for note in x["notes"])]
    assert [x["config"]["bottom"]["name"] for x in copied] == ["two", "two"]
    assert sorted(p.stem for p in (tmp_path / "out" / "cells").glob("*.json")) == sorted(found)


def seams_of(result):
    return [(r["config"]["bottom"]["layer"], r["config"]["top"]["layer"]) for r in result.records]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("block2", [("block2", "block2")]),
        ("block1 -> block2", [("block1", "block2")]),
        ([("block1", "block2"), "block3"], [("block1", "block2"), ("block3", "block3")]),
    ],
)
def test_a_seam_is_written_as_for_stitch(pair, digits, layers, expected):
    result = compare(*pair, digits, layers=layers, objective="match", controls="self", both=False, device="cpu")
    assert seams_of(result)[: len(expected)] == expected
    assert {r["config"]["control"] for r in result.records} == {"pair", "self"}


def test_a_layer_that_is_not_there_is_named(pair, digits):
    with pytest.raises(StitchError, match="no exact cut 'zzz'"):
        compare(*pair, digits, layers="zzz", **QUICK)


def test_one_number_is_no_list_of_seeds(pair, digits):
    with pytest.raises(
        StitchError,
        match=r"'seeds' is wrong: expected distinct whole numbers from 0 in a list, such as \[0, 1\], found 3",
    ):
        compare(*pair, digits, seeds=3, **QUICK)


def test_few_test_samples_leave_a_note(pair, digits):
    few = torch.utils.data.Subset(digits.dataset("test"), range(20))
    data = Data(digits.dataset("fit"), digits.dataset("val"), few, n_classes=10)
    (record,) = compare(*pair, data, layers="block2", objective="match", controls=(), both=False, device="cpu").records
    assert "caution: 20 test samples are few: an interval of 0 width, or near it, is no proof" in record["notes"]
    (record,) = compare(
        *pair, digits, layers="block2", objective="match", controls=(), both=False, device="cpu"
    ).records
    assert not [note for note in record["notes"] if "test samples are few" in note]


def test_the_page_says_what_it_shows(everything, tmp_path):
    text = everything[0].report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "2 networks, 1 ordered pair, 1 layer, 30 cells. Shown: affine, task, 400 fit examples; other" in text
    assert "two (fingerprint" in text


def test_a_network_beside_itself(pair, digits):
    result = compare(pair[0], pair[0], digits, layers="block2", controls="self", objective="match", device="cpu")
    values = [m["value"] for r in result.records for m in r["metrics"] if m["metric"] == "penalty"]
    assert values == [0.0] * len(result.records)
    assert seams_of(result) == [("block2", "block2")] * len(result.records)


def test_a_comparison_that_fails_at_once_leaves_its_folder_free(pair, digits, tmp_path):
    options = {
        "layers": "block2",
        "objective": "match",
        "controls": (),
        "both": False,
        "out": tmp_path,
        "device": "cpu",
    }
    with pytest.raises(StitchError, match="rank 999"):
        compare(*pair, digits, family="low-rank:999", **options)
    assert len(compare(*pair, digits, family="low-rank:2", **options).records) == 1


def test_an_alias_names_a_layer_in_a_comparison_as_in_a_stitch(pair, digits):
    one, two = pair
    layer, alias = next((x.name, x.aliases[-1]) for x in one.layers.values() if x.exact and len(x.aliases) > 1)
    asked = {"both": False, "controls": ("self",), "family": "identity", "objective": "match", **QUICK}
    found, listed = (compare(one, two, digits, layers=[name], **asked).records for name in (alias, layer))
    assert [r["cell"] for r in found] == [r["cell"] for r in listed]
    assert stitch(one, two, alias, digits, family="identity", objective="match", **QUICK).penalty == next(
        m["value"] for m in found[0]["metrics"] if m["metric"] == "penalty"
    )
