"""A record on the disk: what is written comes back, and no changed byte is believed."""

import base64
import json
import random
from pathlib import Path

import numpy as np
import pytest

from modelstitch.errors import RecordError, StudyError
from modelstitch.records.answers import pack
from modelstitch.records.parquet import records_from_parquet
from modelstitch.records.record import (
    DonorFacts,
    End,
    Metric,
    Record,
    Setting,
    end_of,
    facts_of,
    metrics_of,
    part_of,
    short,
)
from modelstitch.support.hashing import canonical_json, cell_hash, of

KEPT = sorted(Path(__file__).parents[2].joinpath("docs/results").rglob("*.parquet"))
KEPT = [path for path in KEPT if path.parent.name != "resi"]  # values of measures, no records


def made(wrong=3, top_wrong=1, n=21, unit="points", **more):
    """A record whose numbers agree with its answers."""
    config = {
        "bottom": {"name": "a", "fingerprint": "f1", "layer": "l1", "depth": 0.25, "index": 0},
        "top": {"name": "b", "fingerprint": "f2", "layer": "l2", "depth": 0.5, "index": 1, "view": "resized"},
        "family": "affine",
        "objective": "task",
        "init": "closed",
        "control": "pair",
        "seed": 0,
        "normalisation": "frozen",
        "data": {"fit": 90, "test": n},
        "fit": {"samples": None},
    }
    scale = 100.0 if unit == "points" else 0.73
    stitched, top = (scale * (np.arange(n) < k) for k in (wrong, top_wrong))
    weights = np.ones(n) if unit == "points" else 1.0 + np.arange(n)
    error, alone = (float(np.average(values, weights=weights)) for values in (stitched, top))
    examples = pack(stitched, top, weights, unit)
    metrics = (
        Metric("penalty", error - alone, error - alone - 1, error - alone + 1, unit),
        Metric("error", error, unit=unit),
        Metric("top_error", alone, unit=unit),
    )
    correct = examples["stitched"] if unit == "points" else ""
    record = Record(
        cell_hash(config),
        config,
        metrics,
        ("a note",),
        {"torch": "2", "seconds": 1.5},
        ((1, 0.5),),
        correct,
        examples,
        {"a": DonorFacts("random, seed 0", error=3.5)},
    )
    return Record.of({**record.plain(), **more})


@pytest.mark.parametrize("unit", ["points", "nats/token"])
def test_what_is_written_comes_back(unit):
    record = made(unit=unit)
    again = Record.from_json(record.to_json(), record.cell)
    assert again == record
    assert again.to_json() == record.to_json()
    assert (again.bottom.layer, again.top.view, again.control, again.samples) == ("l1", "resized", "pair", 90)
    assert again.donors == {"a": DonorFacts("random, seed 0", error=3.5)}
    assert again.metric("penalty").unit == unit
    assert again.metric("cka") is None


def test_a_record_is_named_by_what_it_is_of():
    config = made().config
    assert Record.named(config).cell == cell_hash(config)
    probe = Record.named(config, results=({"metrics": []},), provenance={"probe": cell_hash(config)})
    assert probe.cell == cell_hash(config)
    place = Record.named(config, provenance=probe.provenance)
    assert place.cell == cell_hash({**config, "of": probe.cell})


def test_a_record_cannot_be_changed_through_what_it_gives():
    record = made()
    record["config"]["family"] = "conv:3"
    record["metrics"][0]["value"] = 0.0
    assert record == made()
    with pytest.raises(AttributeError):
        record.cell = "other"


def test_no_changed_bit_is_believed():
    text, dice = made().to_json(), random.Random(0)
    for _ in range(3000):
        at = dice.randrange(len(text))
        changed = text[:at] + bytes([text[at] ^ (1 << dice.randrange(8))]) + text[at + 1 :]
        with pytest.raises(RecordError):
            Record.from_json(changed)


def test_no_other_damage_is_believed():
    text, other, dice = made().to_json(), made(wrong=9).to_json(), random.Random(1)
    for _ in range(500):
        a, b = sorted(dice.randrange(len(text)) for _ in range(2))
        for changed in (
            text[:b],
            text[a:],
            text[:a] + other[a:],
            text[:a] + text[b:],
            text[:a] + other[a:b] + text[b:],
        ):
            if changed in (text, other):
                continue
            with pytest.raises(RecordError):
                Record.from_json(changed)
    digits = [at for at, byte in enumerate(text) if chr(byte).isdigit()]
    for at in digits:
        with pytest.raises(RecordError):
            Record.from_json(text[:at] + str((int(chr(text[at])) + 1) % 10).encode() + text[at + 1 :])


def changed(where, value):
    plain = json.loads(json.dumps(made().plain()))
    *way, last = where
    inner = plain
    for step in way:
        inner = inner[step]
    inner[last] = value
    return plain


def digested(plain):
    """A file with a digest that holds, whatever it says: as one who changes it on purpose would leave it."""
    body = canonical_json({**plain, "version": 2}).encode()[:-1]
    return body + f',"digest":"{of(body)}"}}'.encode()


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (["config", "family"], "conv:3", "which its configuration makes"),
        (["config", "correct"], "no key of ours", "which its configuration makes"),
        (["cell"], "0" * 16, "which its configuration makes"),
        (["provenance", "probe"], "a probe's name counts", "which its configuration makes"),
        (["metrics", 0, "value"], -8.5, "penalty -8.5 within its interval"),
        (["metrics", 0, "value"], 9.6, "penalty 9.52381 that the kept answers give, found 9.6"),
        (["metrics", 1, "value"], 14.3, "error 14.2857 that the kept answers give"),
        (["metrics", 2, "value"], 4.7, "top_error 4.7619 that the kept answers give"),
        (["metrics", 0, "low"], None, "both ends of the interval"),
        (["metrics", 0, "high"], "9", "finite number or null, found '9'"),
        (["metrics", 0, "metric"], "error", "'error' once, found it twice"),
        (["correct"], "AAAA", "same right answers in correct and in examples"),
        (["examples", "n"], 22, "penalty .* that the kept answers give"),
        (["examples", "n"], 25, "examples to be readable"),
        (["examples", "top"], "!", "examples to be readable"),
        (["config", "top"], "b", "config.top with a name, found 'b'"),
        (["more"], 1, "found 'more' besides"),
        (["metrics"], {}, "'metrics' as list, found dict"),
        (["metrics", 1, "value"], True, "finite number or null, found True"),
    ],
)
def test_what_contradicts_itself_is_refused_even_with_a_digest(where, value, message):
    with pytest.raises(RecordError, match=message):
        Record.from_json(digested(changed(where, value)))


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e999"])
def test_a_number_that_is_not_finite_is_refused(number):
    body = digested(made().plain()).partition(b',"digest"')[0].replace(b'"seconds":1.5', f'"seconds":{number}'.encode())
    with pytest.raises(RecordError, match=r"provenance\.seconds to be a finite number or null"):
        Record.from_json(body + f',"digest":"{of(body)}"}}'.encode())


def test_a_file_without_a_digest_is_refused():
    with pytest.raises(RecordError, match="expected a digest at its end, found none"):
        Record.from_json(json.dumps(made().plain()).encode())


def test_a_glance_says_whose_cell_it_is_and_finds_every_changed_bit():
    record, dice = made(), random.Random(2)
    text = record.to_json()
    seen = Record.glance(text, record.cell)
    for part in ("cell", "bottom", "top", "control", "notes", "seconds", "failed", "version"):
        assert getattr(seen, part) == getattr(record, part)
    assert (seen.metrics, seen.examples) == ((), None)
    for _ in range(1500):
        at = dice.randrange(len(text))
        with pytest.raises(RecordError):
            Record.glance(text[:at] + bytes([text[at] ^ (1 << dice.randrange(8))]) + text[at + 1 :], record.cell)
    for renamed in (["config", "seed"], ["config", "top", "name"]):
        with pytest.raises(RecordError, match="which its configuration makes"):
            Record.glance(digested(changed(renamed, "other")), record.cell)
    with pytest.raises(RecordError, match="expected the cell 0000000000000000, found"):
        Record.glance(text, "0" * 16)


@pytest.mark.parametrize(
    "more", [{}, {"donors": {}, "config": 1}, {"metrics": ['","metrics":']}, {"correct": "}", "examples": {"cell": 2}}]
)
def test_a_configuration_may_hold_the_names_of_parts(more):
    config = {**made().config, "more": more}
    record = Record(cell_hash(config), config, (Metric("penalty", 1.0),))
    assert Record.from_json(record.to_json(), record.cell) == record


def test_a_metric_may_leave_out_what_it_does_not_have():
    plain = {**made().plain(), "metrics": [{"metric": "cka", "value": 1}, {"metric": "r2"}], "examples": None}
    assert Record.of(plain).metrics == (Metric("cka", 1), Metric("r2", None))


def test_answers_beyond_the_last_one_count():
    record = made()
    bits = bytearray(base64.b64decode(record.examples["stitched"]))
    bits[-1] |= 1
    plain = record.plain()
    plain["examples"]["stitched"] = plain["correct"] = base64.b64encode(bits).decode()
    with pytest.raises(RecordError, match="that the kept answers give"):
        Record.from_json(digested(plain))


def test_a_number_that_is_none_is_not_written():
    record = Record(made().cell, made().config, provenance={"seconds": float("nan")})
    with pytest.raises(StudyError, match="provenance, seconds is nan: expected a finite number"):
        record.to_json()


def test_the_digest_is_over_the_one_text_of_the_content():
    text = made().to_json()
    plain = json.loads(text)
    digest = plain.pop("digest")
    assert text == canonical_json(plain).encode()[:-1] + f',"digest":"{digest}"}}'.encode()


@pytest.mark.slow
@pytest.mark.parametrize("path", KEPT[::4], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_committed_records_are_read_and_agree_with_themselves(path):
    records = records_from_parquet(path)
    assert records
    for record in records[:20]:
        assert record.top.name


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("provenance",), ["cpu"]),
        (("provenance",), 3),
        (("provenance", "seconds"), "long"),
        (("provenance", "seconds"), [1]),
        (("history",), [1]),
        (("metrics", 0, "unit"), ["points"]),
        (("examples", "test"), {"a": 1}),
    ],
    ids=str,
)
def test_parts_of_another_kind_are_refused_also_under_a_digest_of_their_own(where, value):
    """Whoever seals a file anew gets the same sentence, whether it is read or looked at."""
    record = made()
    plain = {**made().plain(), "version": record.version, "history": [[1, 2.0]]}
    plain["examples"] = {**plain["examples"], "test": "t"}
    place = plain
    for part in where[:-1]:
        place = place[part]
    place[where[-1]] = value
    for read in (Record.from_json, *([Record.glance] if where[0] == "provenance" else [])):
        with pytest.raises(RecordError, match="expected"):
            read(digested(plain), record.cell)


def test_a_side_may_leave_out_what_it_does_not_have():
    assert end_of({"name": "a"}) == End("a")
    assert end_of({"name": "a", "layer": None, "depth": 0.5}) == End("a", depth=0.5)


def test_metrics_are_read_with_and_without_an_interval():
    plain = [{"metric": "cka", "value": 0.5, "low": None, "high": None, "unit": ""}, {"metric": "r2", "value": None}]
    assert metrics_of(plain) == (Metric("cka", 0.5), Metric("r2", None))
    assert [metric.plain()["metric"] for metric in metrics_of(plain)] == ["cka", "r2"]


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([{"value": 1.0}], "metrics with a name"),
        ([{"metric": "cka", "value": True}], "'cka', value to be a finite number or null, found True"),
        ([{"metric": "cka", "value": 1.0, "low": 0.5}], "both ends of the interval of 'cka'"),
        ([{"metric": "cka", "value": 1.0, "unit": 3}], "the unit of 'cka' in words, found 3"),
        ([{"metric": "cka", "value": 1.0}] * 2, "'cka' once, found it twice"),
    ],
)
def test_a_metric_that_is_none_is_named(plain, words):
    with pytest.raises(RecordError, match=words):
        metrics_of(plain)


def test_facts_of_a_donor():
    assert facts_of("a", {"weights": "as given", "error": 2.0}) == DonorFacts("as given", error=2.0)
    with pytest.raises(RecordError, match=r"of the donor 'a', found \{'age': 3\}"):
        facts_of("a", {"age": 3})


def test_a_part_of_another_kind_is_refused():
    assert part_of({"notes": []}, "notes", list | tuple) == []
    with pytest.raises(RecordError, match="'notes' as list, found str"):
        part_of({"notes": "one"}, "notes", list | tuple)


def test_words_are_short():
    assert short("a" * 100) == "'" + "a" * 56 + "..."
    assert str(Setting("affine", "match", None, None)) == "affine, match"
