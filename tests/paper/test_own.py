"""What a folder of one's own networks declares, and the figures on them."""

import pytest
from rows import curve

from modelstitch.errors import SourceError, StudyError
from modelstitch.paper.curves import Curves
from modelstitch.paper.own import FIGURES, FILE, Groups, declared, figure, grouped

TWO = Groups({"small": ["a", "b"]}, [])
FOUR = Groups({"small": ["a", "b", "c", "d"]}, [["a", "e"]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[donors]\na = {weights = 'a.safetensors'}", "donors.a.model is missing"),
        ("[donors]\na = {model = 'zoo:vit', weigths = 'a'}", "donors.a.weigths is unknown; did you mean 'weights'?"),
        ("[donors]\na = {model = 'zoo:vit', mean = [0.5]}", "donors.a has one of mean and std: expected both"),
        ("[donors]\na = {model = 'zoo:vit', weights = 'w.pt'}", "donors.a.weights: expected a file, found none"),
        ("across = [['a', 'b']]\n[donors]\na = {model = 'zoo:vit'}", "expected pairs of two networks of [donors]"),
        ("across = [['a', 'a']]\n[donors]\na = {model = 'zoo:vit'}", "expected pairs of two networks of [donors]"),
        ("donors = [", "cannot be read"),
        (f"donors = {'[' * 5_000}", "cannot be read"),
        (f"[donors]\n{'a.' * 20_000}a = 1", "cannot be read (a key of more than"),
        (f"[donors]\na = {{model = 'zoo:vit', error = {'9' * 5_000}}}", "cannot be read"),
        ("[donors]\na = {model = 'zoo:vit', error = nan}", "donors.a.error: expected a finite number, found nan"),
        ("", "donors is missing"),
    ],
)
def test_a_table_that_is_not_exact_is_refused_in_one_sentence(tmp_path, text, words):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(SourceError) as caught:
        declared(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_table_nothing_is_declared(tmp_path):
    assert declared(tmp_path) is None


def test_networks_are_grouped_by_their_architecture(tmp_path):
    nets = {"a": "one", "b": "two", "c": "one"}
    assert grouped(nets, [], tmp_path) == Groups({"one": ["a", "c"]}, [])
    assert grouped({"a": "one", "b": "two"}, [["a", "b"]], tmp_path).across == [["a", "b"]]
    with pytest.raises(SourceError, match="holds 1 of one, 1 of two: expected two networks of one architecture"):
        grouped({"a": "one", "b": "two"}, [], tmp_path)


def test_all_ordered_pairs_are_stitched_and_two_architectures_both_ways():
    lines = {line.label: line for line in figure("2a", FOUR).lines}
    assert len(lines["another seed of small"].pairs) == 12
    assert [(m.file, n.file) for m, n in lines["e under a"].pairs] == [("e", "a")]
    drawn = lines["random bottom, small"].pairs
    assert [(m.seed, m.change, n.file, n.change) for m, n in drawn[:2]] == [
        (0, "re-initialised", "a", ""),
        (1, "re-initialised", "b", ""),
    ]


def test_a_network_without_a_twin_gets_a_random_bottom_that_pairs_across_are_held_against():
    shown = figure("2a", Groups({}, [["a", "e"]]))
    lines = {line.label: line for line in shown.lines}
    assert [(m.change, n.file) for m, n in lines["random bottom, e"].pairs] == [("re-initialised", "e")]
    records = [row for name in "ae" for row in curve(f"random bottom, {name}", (0.5, 35.0, 30.0, 40.0))]
    records += [row for label in ("a under e", "e under a") for row in curve(label, (0.5, 8.0, 7.0, 9.0))]
    words = [claim.judge(Curves(records, "honest")).word for claim in shown.claims]
    assert words == ["contrary", "holds"]  # dearer than 5 points, and far from random


@pytest.mark.parametrize(("groups", "pairs"), [(TWO, [("a", "b")]), (FOUR, [*zip("abcd", "bcda")])])
def test_beside_it_each_network_is_set_under_the_next(groups, pairs):
    assert [(m.file, n.file) for m, n in figure("matrix", groups).probes[0].each] == pairs


@pytest.mark.parametrize(
    ("name", "groups", "words"),
    [
        ("3a", TWO, "Figure 3a needs networks that are trained for it: expected one of 2a, 4, 5, connectivity, matrix"),
        ("4", Groups({}, [["a", "b"]]), "Figure 4 needs two networks of one architecture"),
    ],
)
def test_a_figure_that_needs_training_is_refused(name, groups, words):
    with pytest.raises(StudyError, match=words):
        figure(name, groups)


@pytest.mark.parametrize("name", FIGURES)
def test_groups_come_back_from_what_records_carry(name):
    assert [line.label for line in figure(name, Groups(**FOUR.plain)).lines] == [
        line.label for line in figure(name, FOUR).lines
    ]
