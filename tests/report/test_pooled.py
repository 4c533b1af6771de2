"""Several seeds and pairs in a report: one hierarchical interval, with the numbers behind it."""

import pytest
from scipy.stats import binomtest, false_discovery_control
from synthetic import LAYERS, MORE, make_records

from modelstitch.errors import StudyError
from modelstitch.report.figures.pair import samples_figure
from modelstitch.report.frame import curve, frame, panel, settings
from modelstitch.report.page import page
from modelstitch.report.pooled import pooled, ratios, settled
from modelstitch.report.sentences.findings import findings
from modelstitch.report.sentences.warnings import warnings
from modelstitch.report.tables import penalty_table, pooled_table, samples_table
from modelstitch.stats.pooling import pool

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def records():
    return make_records(seeds=SEEDS, examples=2000, controls=MORE)


@pytest.mark.slow
def test_seeds_of_one_seam_get_one_interval_over_seeds_and_examples(records):
    table = settled(frame(records), records)
    point = curve(panel(table, "seed0", "seed1"))[2]
    mine = [
        r
        for r in records
        if (r["config"]["bottom"]["name"], r["config"]["top"]["name"]) == ("seed0", "seed1")
        and r["config"]["top"]["layer"] == point.layer
        and r["config"]["control"] == "pair"
    ]
    expected = pool(mine)
    assert len(mine) == point.seeds == 3
    assert (point.low, point.high) == (expected.low, expected.high)
    untouched = table.filter(metric="agreement_top")
    assert untouched.equals(frame(records).filter(metric="agreement_top"))


def test_records_without_examples_keep_their_own_intervals():
    records = make_records(seeds=SEEDS)
    assert settled(frame(records), records).equals(frame(records))


@pytest.mark.slow
def test_over_all_pairs_every_count_is_shown(records):
    rows = pooled(records).filter(control="pair")
    assert rows["top_layer"].to_list() == list(LAYERS)
    assert set(rows["pairs"]) == {3}  # of two networks, in either direction
    assert set(rows["seeds"]) == {18}
    assert set(rows["examples"]) == {2000}
    assert all(low < value < high for low, value, high in rows.select("low", "value", "high").iter_rows())
    text = [[cell.text for cell in row] for row in pooled_table(rows).rows]
    assert text[0][-3:] == ["3", "18", "2000"]


@pytest.mark.slow
def test_the_normalised_penalty_is_empty_with_its_reason_where_random_is_no_worse(records):
    rows = pooled(records).filter(control="pair")
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    assert last["normalised_low"] < last["normalised"] < last["normalised_high"]
    assert last["reason"] == ""
    same = make_records(seeds=SEEDS, examples=2000, penalty=lambda control, depth, seed: 1.0 + 0.1 * seed)
    found = ratios(same, "seed0", "seed1", settings(frame(same))[0])
    assert {ratio for ratio, _ in found.values()} == {None}
    assert {reason for _, reason in found.values()} == {"random and self do not differ beyond their intervals"}
    table = penalty_table(panel(frame(same), "seed0", "seed1"), "c", found)
    assert table.rows[0][table.head.index("normalised")].below == "random and self do not differ beyond their intervals"
    assert first["value"] > 0


@pytest.mark.slow
def test_the_page_draws_every_control_and_the_table_over_pairs(records):
    html = page(records, title="t")
    for text in ("Over all pairs", "class-noise ×3", "recalibration", "Mean over pairs"):
        assert text in html


@pytest.mark.slow
def test_a_curve_over_fit_examples_is_drawn_and_tabled():
    records = make_records(("a", "b"), samples=(100, 1000, None), examples=500)
    table = frame(records)
    rows = panel(table, "a", "b")
    assert sorted(rows["samples"].unique()) == [100, 1000, 1077]
    assert settings(table)[0].samples == 1077  # the whole split leads
    figure = samples_figure(rows, "a", "b")
    assert figure.axes[0].get_xlabel() == "fit examples of the stitcher"
    assert samples_table(rows, "c").head == ("layer", "100", "1,000", "1,077")
    assert "fit examples the stitcher" not in page(make_records(("a", "b")), title="t")
    assert "number of examples the stitcher was fitted on" in page(records, title="t")
    with pytest.raises(StudyError, match="expected two numbers of examples at least, found 1"):
        samples_figure(panel(frame(make_records(("a", "b"))), "a", "b"), "a", "b")


def test_words_say_what_recalibration_and_another_seed_tell():
    def told(penalty):
        controls = ("pair", "self", "random", "identity", "recalibration", "class-noise", "class-noise-strong")
        records = make_records(("a", "b"), controls=controls, penalty=penalty)
        for record in records:  # another seed of b stands beside the pair
            if record["config"]["control"] == "self":
                record["config"] |= {"control": "other-seed"}
                record["config"]["bottom"]["name"] = "c"
        rows = panel(frame(records), "a", "b")
        return " ".join(r.text for r in (*findings(rows), *warnings(rows)))

    far = told(lambda control, depth, seed: {"pair": 2.0, "self": 1.9}.get(control, 50.0))
    assert "the fitted map does more than shift statistics" in far
    assert "nowhere clearly more than another seed" in far
    near = told(lambda control, depth, seed: {"self": 0.0, "random": 50.0}.get(control, 2.0))
    assert "as good as the fitted map, which adds nothing there" in near
    assert "pays more than another seed of the top at 6 layers" in near
    assert "class-noise with three times the noise stitches as well" in near


def test_penalties_of_many_layers_are_tested_together():
    steep = make_records(("a", "b"), examples=600, controls=("pair",), penalty=lambda control, depth, seed: depth)
    rows = pooled(steep)
    p, q = rows["p"].to_list(), rows["q"].to_list()
    assert p == [pytest.approx(binomtest(0, round(6 * x)).pvalue if round(6 * x) else 1) for x in rows["value"]]
    assert q == pytest.approx(false_discovery_control(p))
    assert p[-1] < q[0] <= 1
    assert [line[4].text for line in pooled_table(rows).rows] == [f"{value:.3f}" for value in q]
