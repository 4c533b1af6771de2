"""The drawing of a figure from records made by hand: a panel a protocol, one scale, the paper's values beside."""

import pytest
from rows import curve

from modelstitch.paper.catalogue import figure
from modelstitch.paper.drawings import draw
from modelstitch.records.record import Record


def records(name, protocols=("honest", "paper")):
    made = []
    for at, line in enumerate(figure(name).lines):
        for protocol in protocols:
            for row in curve(
                line.label, *((d, v + at, v + at - 1, v + at + 1) for d, v in ((0.3, 2.0), (0.6, 8.0), (0.9, 20.0)))
            ):
                made.append(Record.of({**row, "paper": {**row["paper"], "protocol": protocol}}))
    return made


@pytest.mark.parametrize("name", ["2a", "2b", "3a"])
def test_every_protocol_has_a_panel_on_one_scale(name):
    drawn = draw(figure(name), records(name))
    penalties = [axes for axes in drawn.axes if axes.get_yscale() == "symlog"]
    assert len(penalties) >= 2
    assert len({axes.get_ylim() for axes in penalties}) == 1
    low, high = penalties[0].get_ylim()
    assert low < 0
    assert high > 20 + len(figure(name).lines) - 1


def test_what_lies_beyond_a_panel_is_marked_at_its_edge():
    far = [
        Record.of(r)
        for r in curve("ResNet-18", (0.3, 90.0, 89.0, 91.0), (0.9, -40.0, -41.0, -39.0), control="class-noise")
    ]
    (axes,) = draw(figure("2a"), [*records("2a", ("honest",)), *far]).axes
    marks = {line.get_marker(): line.get_data() for line in axes.lines if not line.get_clip_on()}
    low, high = axes.get_ylim()
    assert {mark: (list(x), list(y)) for mark, (x, y) in marks.items()} == {"^": ([0.3], [high]), "v": ([0.9], [low])}


def test_what_was_not_run_has_no_panel():
    both, one = draw(figure("2a"), records("2a")), draw(figure("2a"), records("2a", ("honest",)))
    assert len(one.axes) == len(both.axes) - 1


def test_every_curve_is_named_once_below():
    drawn = draw(figure("2b"), records("2b"))
    named = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    assert len(named) == len(set(named))
    assert {line.label for line in figure("2b").lines} <= set(named)


@pytest.mark.parametrize(
    ("name", "kind", "control", "axis"),
    [("6", "cka_linear_biased", "similarity", "linear CKA (dotted"), ("8", "error", "fine-tune", "test error, %")],
)
def test_the_papers_values_stand_in_the_panel_of_ours(name, kind, control, axis):
    shown = figure(name)
    rows = [
        row
        for probe in shown.probes
        for row in curve(probe.label, (0.3, 0.5, None, None), (0.9, 0.4, None, None), control=control, metric=kind)
    ]
    drawn = draw(shown, [Record.of(row) for row in rows])
    (at,) = [axes.get_subplotspec() for axes in drawn.axes if axes.get_ylabel().startswith(axis)]
    there = {h.get_label() for axes in drawn.axes if axes.get_subplotspec() == at for h in axes.lines}
    named = {p.label for p in shown.probes}
    assert named <= there
    assert {f"{p.label}, the paper" for p in shown.probes if p.paper} <= there


def test_curves_under_other_tops_have_panels_of_their_own_where_a_figure_asks_for_it():
    shown = figure("2b-equal")
    drawn = draw(shown, records("2b-equal", ("honest",)))
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles == ["honest protocol, as bottoms", "honest protocol, as tops"]
    bottoms, tops = ({h.get_label() for h in axes.lines} for axes in drawn.axes)
    assert {"SimCLR bottom", "brief bottom", "other seed"} <= bottoms
    assert {"SimCLR top", "VICReg top", "brief top"} <= tops
    assert not {line.label for line in shown.lines} & bottoms & tops
