"""The committed pages say what their records say."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rows import curve

from modelstitch.paper import gallery, values
from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.curves import Curves
from modelstitch.paper.gallery import keep, write_page
from modelstitch.paper.provenance import scale_words, took
from modelstitch.records.parquet import records_from_parquet
from modelstitch.records.record import Record
from modelstitch.stats import bootstrap

GALLERY = Path(__file__).parents[2] / "docs" / "results" / "paper"
RECORDS = sorted(GALLERY.glob("*/*.parquet"))
DRAWN = bootstrap.means


@pytest.fixture(scope="module")
def drawn_once():
    """The package's draws, each made once for all pages: they have many cells in common."""
    made = {}

    def means(columns, weights, **options):
        values = hashlib.blake2b(weights.tobytes())
        for column in columns:
            values.update(column.tobytes())
        key = values.digest(), len(columns), repr(options)
        if key not in made:
            made[key] = DRAWN(columns, weights, **options)
        return made[key].copy()

    return means


@pytest.mark.slow
@pytest.mark.parametrize("path", RECORDS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_page_follows_from_its_records(path, tmp_path, monkeypatch, drawn_once):
    monkeypatch.setattr(bootstrap, "means", drawn_once)
    if path.parent.name != "smoke":  # each figure is drawn there; words and numbers are checked at every scale
        monkeypatch.setattr(gallery, "draw", lambda *of: None)
        monkeypatch.setattr(gallery, "to_svg", lambda drawn, title: "")
    shutil.copy(path, tmp_path)
    assert write_page(figure(path.stem), tmp_path).read_text() == path.with_suffix(".md").read_text()


def test_what_several_figures_share_is_counted_once():
    def record(cell, protocol="", seconds=None, trained=None, **more):
        made = {"device": "cpu", "threads": 1, "net": "net", "seconds": seconds, "trained_seconds": trained, **more}
        config = {"bottom": {"name": "net", "layer": "", "fingerprint": f"net of {cell}"}}
        return Record(cell, config, provenance=made, paper={"protocol": protocol})

    donors = [
        record("a", trained=3600),
        record("b", trained=5400),
        record("random"),
        record("b, changed", trained=5400),
    ]
    stitches = [record("c", "honest", 60), record("d", "honest", 120), record("e", "paper", 3600)]
    probe = [record(cell, seconds=240, probe="p") for cell in ("place 1", "place 2")]
    assert took([*donors, *stitches, donors[0], stitches[0], *probe]) == (
        "2.5 hours of training (2 runs); 3 minutes of fitting and measuring 2 stitches by the honest protocol; 1.0 "
        "hours of fitting and measuring 1 stitches by the paper protocol; 4 minutes of what stands beside stitching "
        "(CKA, fine-tuning, freeze-training, paths). Added up over processes, on cpu, 1 thread: where several ran at "
        "once the clock showed less."
    )


def told(tags):
    return Record("a", {}, paper=tags)


def test_a_scale_is_what_the_records_ran_at():
    assert scale_words([told({"scale": "small", "ran": "ten steps"})]) == ["Scale `small`: ten steps."]
    assert scale_words([told({"scale": "small"})])[0].endswith("run the figure again to see.")


def test_a_page_says_that_its_data_are_not_the_scales_own():
    tags = {"scale": "smoke", "ran": "digits, ten steps", "other": "organs (1 x 28 x 28, 11 classes), not digits"}
    assert scale_words([told(tags)]) == [
        "Scale `smoke`, on other data than its own: organs (1 x 28 x 28, 11 classes), not digits. On its own data the "
        "scale is: digits, ten steps."
    ]


@pytest.mark.slow
def test_a_fit_that_failed_is_named_on_the_page(tmp_path):
    records = records_from_parquet(GALLERY / "smoke" / "5.parquet")
    at, lost = next((i, r) for i, r in enumerate(records) if r.control == "pair" and r.top.layer == "block1")
    records[at], line = replace(lost, metrics=()), lost.tags["line"]
    page = keep(records, figure("5"), tmp_path).read_text()
    rows = [row for row in page.splitlines() if row.startswith(f"| {line} |")]
    assert [row.count("failed") for row in rows] == [1, 0]  # of the two protocols


SAID = [
    ("small/5", "\nThe paper's setting: CIFAR-10, ResNet-18. The paper's random"),
    (
        "small/5",
        "Honest protocol: 100 steps of 128 samples at rate 0.01, less where the start is near the top's own error.",
    ),
    ("small/5", "Paper protocol: 200 steps of 128 samples at rate 0.01."),
    ("small/5", "- one measurement: **holds in part**. CKA with a random network below"),
    ("small/5", "- honest protocol: **holds**. It rises"),
    ("full/5", "\n- paper protocol: not run.\n"),
    ("full/5", "| network | architecture | parameters | test error, % | fingerprint |"),
    ("own/5", "| network | architecture | parameters | test error, % | sha256 |"),
    (
        "small/README",
        "CKA calls the two less alike than two seeds. | **holds in part** (one measurement) | (the same) |",
    ),
    ("small/README", "stitching calls them close, up to 3 points. | **holds in part** | **not shown** |"),
    ("small/README", "all blocks still trained. Here: 200 steps of 128 samples at rate 0.01."),
    ("small/README", "| +6.3 [+3.1, +9.5] at block3 (deep ResNet) | \N{MINUS SIGN}0.7 to +4.8 |"),
    ("small/8", "On scale `small`, of 2 claims: 2 hold in part; nearest to refuting the first is 69.3 [67.3, 71.4] %"),
    ("small/2a", "at block3 (deep ResNet), beside the paper: \N{MINUS SIGN}0.7 to +4.8.\n"),
    ("small/5", "\n## Debiased linear CKA of shuffled pairs\n\n0.00 at all places, in all fits.\n"),
    ("small/8", "\n## Test error after fine-tuning\n"),
    ("small/4", "It failed, and says nothing, at block2 (under base, conv:1)"),
    ("small/4", "its budget is ours (the paper's own is 120,000 steps of 128 samples at rate 1e-3)"),
    ("small/matrix", "\nThe paper stitches matching layers only."),
]


@pytest.mark.parametrize(("page", "words"), SAID)
def test_pages_tell_ours_from_the_papers_and_one_measurement_from_two(page, words):
    assert words in (GALLERY / f"{page}.md").read_text()


def test_a_curve_that_was_not_measured_is_named():
    rows = [Record.of(row) for row in curve("stitched, random bottom", (0.3, 5.0, 4.0, 6.0))]
    told = "\n".join(gallery._so_far(figure("8"), {"honest": Curves(rows, "honest")}))
    gone = "stitched, random bottom, statistics fresh, stitched, trained bottom"
    assert f"\nNot measured here: {gone}, honest protocol.\n" in f"\n{told}\n"


def test_a_penalty_is_told_less_the_gap_of_the_two_networks():
    figured = {"error": 14.0, "bottom_error": 12.0, "top_error": 9.0, "penalty": 5.0}
    rows = [{**row, "metrics": []} for row in curve("SimCLR bottom", (0.3, 5.0, 4.0, 6.0)) for _ in range(2)]
    for repeat, row in enumerate(rows):
        row["paper"] = {**row["paper"], "repeat": repeat}
        row["metrics"] = [
            {"metric": name, "value": value + repeat * (name == "error"), "unit": "percent"}
            for name, value in figured.items()
        ]
    lines = gallery._excess_table(figure("2b-equal"), Curves(rows, "honest"), "honest")
    assert lines[0] == "## Above the worse of the two networks, honest protocol"
    assert "| SimCLR bottom | 2 | +2.5 [+2.0, +3.0] |" in lines


def test_every_claim_of_the_paper_has_its_number():
    beyond = {"connectivity", "matrix"}
    missing = [
        (name, claim.text)
        for name in FIGURES
        if name not in beyond
        for claim in figure(name).claims
        if values.said(name, claim.text) == "-"
    ]
    assert missing == [  # ours, not the paper's
        ("2b", figure("2b").claims[2].text),
        ("2b", figure("2b").claims[3].text),
        ("2b-equal", figure("2b-equal").claims[3].text),
        ("2b-equal", figure("2b-equal").claims[4].text),
        ("2c", figure("2c").claims[2].text),
        ("9", figure("9").claims[1].text),
    ]


def test_numbers_are_of_claims_that_there_are():
    starts = [(name, start) for name, start, _ in values._numbers()]
    assert [
        (name, start)
        for name, start in starts
        if not any(claim.text.startswith(start) for claim in figure(name).claims)
    ] == []
