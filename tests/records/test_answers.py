"""Answers come back as they were given, in few bytes, and are held against the record that keeps them."""

import base64
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import modelstitch as ms
from modelstitch.errors import MeasureError, RecordError
from modelstitch.records.answers import (
    SIDES,
    average,
    check_sizes,
    errors,
    numbers,
    pack,
    pack_answers,
    pack_tokens,
    right,
    told_by_answers,
)
from modelstitch.records.record import Metric, Record
from modelstitch.stats.examples import answers_of
from modelstitch.support.hashing import cell_hash


def drawn(n=101, classes=10, seed=0, wrong=0.3):
    """Labels, answers of all three and losses; about that share of answers are wrong."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, n)
    answers = {side: np.where(draw.random(n) < wrong, draw.integers(0, classes, n), labels) for side in SIDES}
    return labels, answers, draw.exponential(size=n)


def record(labels, answers, losses, **more):
    """A record of them whose numbers agree."""
    n = len(labels)
    errors = {side: 100.0 * (values != labels) for side, values in answers.items()}
    means = {side: float(values.mean()) for side, values in errors.items()}
    config = {"bottom": {"name": "a"}, "top": {"name": "b"}, "control": "pair"}
    values = {
        "penalty": means["stitched"] - means["top"],
        "error": means["stitched"],
        "top_error": means["top"],
        "loss": float(losses.mean()),
        "agreement_top": 100.0 * float((answers["stitched"] == answers["top"]).mean()),
    }
    if "bottom" in answers:
        values["bottom_error"] = means["bottom"]
        values["agreement_bottom"] = 100.0 * float((answers["stitched"] == answers["bottom"]).mean())
    kept = {
        **pack(errors["stitched"], errors["top"], np.ones(n), "points"),
        "answers": pack_answers(labels, answers, losses),
    }
    metrics = tuple(Metric(name, value) for name, value in (values | more).items())
    return Record(cell_hash(config), config, metrics, examples=kept)


@pytest.mark.parametrize("n", [1, 7, 8, 101])
@pytest.mark.parametrize("classes", [2, 10, 256, 1000, 70_000])
@pytest.mark.parametrize("sides", [SIDES, SIDES[:2]])
def test_what_was_answered_comes_back(n, classes, sides):
    labels, answers, losses = drawn(n, classes)
    answers = {side: answers[side] for side in sides}
    again = Record.from_json(record(labels, answers, losses).to_json())
    found = answers_of(again)
    assert found.labels.tolist() == labels.tolist()
    for side in SIDES:
        if side not in sides:
            assert found.classes[side] is None is found.right[side]
            continue
        assert found.classes[side].tolist() == answers[side].tolist()
        assert found.right[side].tolist() == (answers[side] == labels).astype(int).tolist()
    assert found.losses == pytest.approx(losses, rel=1e-3, abs=1e-7)


def test_losses_beyond_sixteen_bits_and_answers_that_are_all_right():
    labels = np.arange(6)
    answers = dict.fromkeys(SIDES, labels)
    found = answers_of(record(labels, answers, np.array([0.0, 1e-9, 1.0, 88.0, 70_000.0, 3e8])))
    assert found.losses == pytest.approx([0.0, 1e-9, 1.0, 88.0, 70_000.0, 3e8], rel=1e-6)
    assert all((found.classes[side] == labels).all() for side in SIDES)


@pytest.mark.parametrize(
    ("classes", "wrong", "most"), [(10, 0.1, 3.5), (10, 1.0, 4.5), (1000, 0.25, 5.0), (1000, 1.0, 8.0)]
)
def test_a_sample_takes_few_bytes(classes, wrong, most):
    labels, answers, losses = drawn(10_000, classes, wrong=wrong)
    kept = record(labels, answers, losses).examples
    texts = [text for part in (kept, kept["answers"]) for text in part.values() if isinstance(text, str)]
    assert sum(len(base64.b64decode(text)) for text in texts if text != "points") / 10_000 < most
    assert len(json.dumps(kept)) / 10_000 < most * 4 / 3 + 0.1


def test_of_texts_the_tokens_that_are_right_are_kept():
    counts = {"stitched": np.array([3, 0, 127]), "top": np.array([4, 1, 90])}
    nats = np.array([1.0, 2.0, 3.0])
    kept = {**pack(nats, nats, np.full(3, 128.0), "nats/token"), "answers": pack_answers(None, counts, nats)}
    config = {"bottom": {"name": "a"}, "top": {"name": "b"}, "control": "pair"}
    made = Record.from_json(Record(cell_hash(config), config, examples=kept).to_json())
    found = answers_of(made)
    assert found.labels is None is found.losses
    assert {side: None if v is None else v.tolist() for side, v in found.right.items()} == {
        "stitched": [3, 0, 127],
        "top": [4, 1, 90],
        "bottom": None,
    }
    rows = ms.Results([made], {}).examples
    assert rows["right"].to_list() == [3, 0, 127]
    assert rows["loss"].to_list() == [1.0, 2.0, 3.0]
    assert rows["answer"].null_count() == 3
    with pytest.raises(RecordError, match="stitched of other than 3 answers"):
        Record.from_json(replace(made, examples={**kept, "answers": {**kept["answers"], "bits": 20}}).to_json())


def of_texts(tokens=None, **changes):
    """Three texts of 2, 0 and 3 tokens that count; the stitched model loses the second and the last."""
    hits = {"stitched": [1, 0, 0, 1, 0], "top": [1, 1, 0, 0, 1], "bottom": [0, 0, 1, 1, 1]}
    hits = {side: np.array(found) > 0 for side, found in hits.items()}
    counts = {side: np.array([found[:2].sum(), 0, found[2:].sum()]) for side, found in hits.items()}
    nats = np.array([1.0, 2.0, 3.0])
    kept = pack(nats, nats, np.array([2.0, 0.0, 3.0]), "nats/token")
    kept["answers"] = pack_answers(None, counts, nats)
    kept["answers"]["tokens"] = pack_tokens(hits, np.array([7, 300, 9, 8, 65_000])) if tokens is None else tokens
    kept["answers"]["tokens"] = {**kept["answers"]["tokens"], **changes} if changes else kept["answers"]["tokens"]
    config = {"bottom": {"name": "a"}, "top": {"name": "b"}, "control": "pair"}
    return hits, Record(cell_hash(config), config, examples=kept)


def test_of_texts_each_token_is_right_or_wrong_and_what_breaks_is_kept():
    hits, made = of_texts()
    found = answers_of(Record.from_json(made.to_json()))
    assert {side: values.tolist() for side, values in found.hits.items()} == {s: v.tolist() for s, v in hits.items()}
    assert found.said.tolist() == [-1, 300, -1, -1, 65_000]


def test_tokens_that_do_not_fit_are_not_believed():
    for changed in ({"top": base64.b64encode(b"abcd").decode()}, {"tokens": "none"}, {"tokens": 3}):
        with pytest.raises(RecordError, match=r"tokens of the top other than 5|readable"):
            Record.from_json(of_texts(**changed)[1].to_json())
    for changed in ({"stitched": base64.b64encode(b"\xf8").decode()}, {"said": "AAAA"}, {"bits": 99}):
        with pytest.raises(MeasureError, match=r"cannot be read: found ValueError"):
            answers_of(of_texts(**changed)[1])


def answered(**changes):
    made = record(*drawn())
    kept = made.examples["answers"]
    changed = {part: change(kept[part]) for part, change in changes.items()}
    return replace(made, examples={**made.examples, "answers": {**kept, **changed}})


def flipped(text):
    content = bytearray(base64.b64decode(text))
    content[0] ^= 0x80
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": lambda t: t[4:]}, "labels of other than 101 answers"),
        ({"stitched": lambda t: t + "AAAA"}, "stitched of other than"),
        ({"bottom_right": flipped}, "bottom of other than|expected the bottom_error"),
        ({"losses": lambda t: t[8:]}, "losses of other than 101 examples"),
        ({"bits": lambda b: 0}, "answers of 0 bits"),
        ({"bits": lambda b: True}, "answers of True bits"),
        ({"bits": lambda b: "4"}, "answers of '4' bits"),
        ({"labels": lambda t: None}, "examples to be readable"),
    ],
)
def test_a_record_whose_answers_do_not_fit_is_not_believed(changes, why):
    with pytest.raises(RecordError, match=why):
        Record.from_json(answered(**changes).to_json())


def test_a_record_that_its_answers_contradict_is_refused_when_they_are_asked_for():
    labels, answers, losses = drawn()
    answers_of(record(labels, answers, losses))
    for name in ("loss", "agreement_top", "agreement_bottom"):
        with pytest.raises(MeasureError, match=f"contradicts itself: expected the {name} "):
            ms.Results([record(labels, answers, losses, **{name: 1.23})], {}).examples  # noqa: B018
    with pytest.raises(RecordError, match="expected the bottom_error"):
        Record.from_json(record(labels, answers, losses, bottom_error=1.23).to_json())
    zeros = {"labels": lambda t: base64.b64encode(bytes(len(base64.b64decode(t)))).decode()}
    with pytest.raises(MeasureError, match=r"the label as a wrong answer|contradicts itself"):
        answers_of(answered(**zeros, stitched=zeros["labels"]))


def test_a_record_of_before_keeps_none():
    made = record(*drawn())
    old = replace(made, examples={k: v for k, v in made.examples.items() if k != "answers"})
    rows = ms.Results([Record.from_json(old.to_json())], {}).examples
    assert rows["right"].sum() == (1 - made.metric("error").value / 100) * 101
    assert rows["answer"].null_count() == rows["label"].null_count() == rows["loss"].null_count() == 101
    assert ms.Results([old, made], {}).examples["answer"].null_count() == 101


def test_sizes_are_checked_without_numpy():
    """Reading thousands of records counts and measures; it unpacks nothing."""
    labels, answers, losses = drawn()
    kept = pack_answers(labels, answers, losses)
    right = {side: int((answers[side] == labels).sum()) for side in SIDES}
    assert check_sizes(kept, 101, {s: right[s] for s in ("stitched", "top")}) == right["bottom"]


@pytest.mark.slow
def test_examples_of_a_comparison_are_the_networks_own_answers(pair, digits):
    bottom, top = pair
    r = ms.compare(
        bottom, top, digits, layers=["block2"], controls=["class-noise"], both=False, objective="match", device="cpu"
    )
    rows = r.examples
    assert len(rows) == digits.size("test") * len(r.records)
    raw = torch.stack([digits.dataset("test")[i][0] for i in range(digits.size("test"))])
    alone = {n.name: n(raw).argmax(1).tolist() for n in pair}
    mine = rows.filter(pl.col("control") == "pair").sort("sample")
    assert mine["label"].to_list() == digits.labels("test").tolist()
    assert mine["top_answer"].to_list() == alone["one"]
    assert mine["bottom_answer"].to_list() == alone["zero"]
    s = ms.stitch(bottom, top, "block2", digits, objective="match", device="cpu")
    scores = s.predict(raw)
    assert (mine["answer"] == pl.Series(scores.argmax(1).numpy())).mean() > 0.995
    losses = torch.nn.functional.cross_entropy(scores, digits.labels("test"), reduction="none")
    assert mine["loss"].to_list() == pytest.approx(losses.tolist(), rel=2e-3, abs=1e-4)
    assert (mine["right"] == (mine["answer"] == mine["label"]).cast(pl.Int64)).all()
    noise = rows.filter(pl.col("control") == "class-noise")
    assert noise["bottom_answer"].null_count() == len(noise)
    assert noise["top_answer"].null_count() == 0


STITCHED, TOP = np.array([0.0, 100, 0, 0, 100, 0, 0, 0, 100]), np.array([0.0, 0, 0, 100, 100, 0, 0, 0, 0])
ONES = np.ones(9)


def test_points_are_kept_as_bits():
    kept = json.loads(json.dumps(pack(STITCHED, TOP, ONES, "points", "split")))
    assert (kept["n"], kept["unit"], kept["test"]) == (9, "points", "split")
    assert len(base64.b64decode(kept["stitched"])) == 2
    assert errors(kept["stitched"], 9).tolist() == STITCHED.tolist()
    assert errors(kept["top"], 9).tolist() == TOP.tolist()
    assert right(kept["stitched"], 9) == 6
    assert "weights" not in kept
    assert "test" not in pack(STITCHED, TOP, ONES, "points")


def test_nats_are_kept_as_float32_with_their_weights():
    nats, weights = np.array([0.1, 2.5, 1e-9]), np.array([3.0, 1.0, 2.0])
    kept = pack(nats, nats + 1, weights, "nats/token")
    assert numbers(kept["stitched"], 3).tolist() == nats.astype(np.float32).tolist()
    assert numbers(kept["weights"], 3).tolist() == weights.tolist()
    assert average(nats, weights) == pytest.approx((0.3 + 2.5) / 6, abs=1e-8)


@pytest.mark.parametrize(
    ("read", "text", "n", "words"),
    [
        (right, base64.b64encode(b"\xff\xff").decode(), 17, "2 bytes for 17 answers"),
        (right, base64.b64encode(b"\xff\xff").decode(), 8, "2 bytes for 8 answers"),
        (right, "%%%%", 8, "base64"),
        (errors, base64.b64encode(b"\xff").decode(), 9, "1 bytes for 9 answers"),
        (numbers, base64.b64encode(np.zeros(2, "<f4").tobytes()).decode(), 3, "2 numbers instead of 3"),
        (numbers, base64.b64encode(np.array([np.nan], "<f4").tobytes()).decode(), 1, "one that is not finite"),
        (numbers, base64.b64encode(b"abc").decode(), 1, "size"),
    ],
)
def test_what_holds_something_else_is_refused(read, text, n, words):
    with pytest.raises(ValueError, match=words):
        read(text, n)


def test_no_weight_has_no_mean():
    with pytest.raises(ZeroDivisionError):
        average(np.ones(2), np.zeros(2))


WRONG = pack(*(100.0 * (np.arange(20) < k) for k in (5, 1)), np.ones(20), "points")


def test_right_answers_give_errors_and_penalty():
    told = told_by_answers({}, WRONG, WRONG["stitched"])
    assert {name: said.value for name, said in told.items()} == pytest.approx(
        {"penalty": 20, "error": 25, "top_error": 5}
    )
    assert all(said.room < 1e-6 for said in told.values())


def test_errors_give_the_penalty_where_no_answer_is_kept():
    told = told_by_answers({"error": 30.0, "top_error": 12.0}, None, None)
    assert {name: said.value for name, said in told.items()} == {"penalty": 18.0}
    assert told_by_answers({"error": None, "top_error": 12.0}, None, None) == {}


def test_answers_that_contradict_each_other_are_refused():
    with pytest.raises(RecordError, match="the same right answers"):
        told_by_answers({}, WRONG, WRONG["top"])
    with pytest.raises(RecordError, match="expected the examples to be readable"):
        told_by_answers({}, {**WRONG, "n": 30}, None)
