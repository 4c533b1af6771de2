"""A family of networks as one set: N x N x layers, trees, maps and groups, against independent arithmetic."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from modelstitch.errors import MeasureError, StudyError
from modelstitch.report.family import (
    ALL,
    _shuffled,
    check_groups,
    distances_of,
    family_of,
    marked_family,
    renamed,
)

NAMES = ("a0", "a1", "a2", "b0", "b1")
GROUPS = {name: name[0] for name in NAMES}
LAYERS = {"one": 0.2, "two": 0.6, "three": 1.0}


def value(one, other, at, seed=0):
    """Alike within a group, the more the deeper; a little noise tells pairs apart."""
    noise = np.random.default_rng([seed, NAMES.index(one), NAMES.index(other), at]).uniform(0, 0.05)
    return 0.5 + 0.15 * at * (one[0] == other[0]) + noise


def table(layers=lambda name: LAYERS, measure="cka", kind="similarity", both=False, value=value):
    """Every layer with every layer of every two networks."""
    rows = []
    for one, other in combinations(NAMES, 2):
        for bottom, top in ((one, other), (other, one))[: 1 + both]:
            for i, (below, depth) in enumerate(layers(bottom).items()):
                for j, (above, other_depth) in enumerate(layers(top).items()):
                    rows.append(
                        {
                            "bottom": bottom,
                            "bottom_layer": below,
                            "bottom_depth": depth,
                            "top": top,
                            "top_layer": above,
                            "top_depth": other_depth,
                            "measure": measure,
                            "kind": kind,
                            "value": value(bottom, top, j) if i == j else 0.01,
                        }
                    )
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def family():
    return family_of([table()], NAMES, GROUPS)


def test_networks_are_one_set(family):
    cube = family.values["cka"]
    assert cube.shape == (5, 5, 3)
    assert (family.layers, family.depths) == (("one", "two", "three"), (0.2, 0.6, 1.0))
    for i, one in enumerate(NAMES):
        assert np.isnan(cube[i, i]).all()
        for j in range(i + 1, 5):
            assert cube[i, j].tolist() == cube[j, i].tolist() == [value(one, NAMES[j], at) for at in range(3)]
    shown = family.matrix(layer="two")
    assert shown.columns == ["network", "group", *NAMES]
    assert shown["a1"].to_list()[:2] == [value("a0", "a1", 1), None]


def test_what_looks_one_way_is_the_mean_of_both_ways():
    both = family_of([table(both=True)], NAMES)
    wanted = (value("a0", "b1", 2) + value("b1", "a0", 2)) / 2
    assert both.values["cka"][0, 4, 2] == pytest.approx(wanted, abs=1e-15)
    assert both.groups == {}


def test_layers_meet_at_the_nearest_depth():
    """The fewest layers give the depths; a deeper network's nearest layers are taken, others are not looked at."""
    long = {"stem": 0.05, "one": 0.25, "mid": 0.4, "two": 0.58, "three": 1.0}

    def deep(bottom, top, at):
        return 0.9 if top == "b1" and at in (1, 3, 4) else 0.7

    found = family_of([table(lambda name: long if name == "b1" else LAYERS, value=deep)], NAMES)
    assert found.layers == ("one", "two", "three")
    assert not np.isnan(found.values["cka"][:4, :4][~np.eye(4, dtype=bool)]).any()
    stages = found.values["cka"][0, 4]
    assert stages.tolist()[2] == 0.01  # three and its like stand at different places in the two networks


def test_distances_are_what_a_similarity_lacks(family):
    values = np.array([[np.nan, 0.3, 1.2], [0.1, np.nan, 0.4], [1.2, 0.4, np.nan]])
    assert distances_of(values, False).tolist() == [[0, 0.8, 0], [0.8, 0, 0.6], [0, 0.6, 0]]
    assert distances_of(values, True).tolist() == [[0, 0.2, 1.2], [0.2, 0, 0.4], [1.2, 0.4, 0]]
    mean = np.mean([1 - value("a0", "b0", at) for at in range(3)])
    assert family.distances()[0, 3] == pytest.approx(mean, abs=1e-15)


def test_groups_are_told_apart_as_plain_loops_say(family):
    rows = {(r["measure"], r["layer"]): r for r in family.separation.iter_rows(named=True)}
    assert set(rows) == {("cka", layer) for layer in (ALL, *LAYERS)}
    for layer in (ALL, *LAYERS):
        d = family.distances(layer=layer)
        within = [d[i, j] for i, j in combinations(range(5), 2) if NAMES[i][0] == NAMES[j][0]]
        between = [d[i, j] for i, j in combinations(range(5), 2) if NAMES[i][0] != NAMES[j][0]]
        auc = np.mean([(w < b) + 0.5 * (w == b) for w in within for b in between])
        spread = np.sqrt((np.var(within, ddof=1) + np.var(between, ddof=1)) / 2)
        widths = []
        for i in range(5):
            own = [d[i, j] for j in range(5) if j != i and NAMES[j][0] == NAMES[i][0]]
            other = np.mean([d[i, j] for j in range(5) if NAMES[j][0] != NAMES[i][0]])
            widths.append((other - np.mean(own)) / max(other, np.mean(own)))
        found = rows["cka", layer]
        assert found["auc"] == pytest.approx(auc, abs=1e-12)
        assert found["d_prime"] == pytest.approx((np.mean(between) - np.mean(within)) / spread, abs=1e-9)
        assert found["silhouette"] == pytest.approx(np.mean(widths), abs=1e-12)
        assert (found["n_within"], found["n_between"]) == (4, 6)
        assert 1 / 1000 <= found["p"] <= 1
    assert rows["cka", "three"]["auc"] == 1.0
    assert rows["cka", "one"]["auc"] < 0.9
    (said,) = family.sentences()
    assert "best at" in said


def test_the_p_value_is_that_of_all_ways_to_name_groups(family):
    """Ten ways to choose three of five; groups that stand apart perfectly are one of them."""
    assert family.separation.filter(layer="three")["p"][0] == 0.1
    mixed = family_of([table()], NAMES[::-1], GROUPS)
    assert sorted(mixed.separation["p"]) == sorted(family.separation["p"])
    many = _shuffled(np.repeat([0, 1], 9))
    assert len(many) == 999
    assert all(sorted(way) == [0] * 9 + [1] * 9 for way in many)


def test_tree_and_map(family):
    tree = family.tree(layer="three")
    assert tree.shape == (4, 4)
    assert family.order(layer="three")[0][0] in "ab"
    grouped = [name[0] for name in family.order(layer="three")]
    assert grouped in (list("aaabb"), list("bbaaa"))
    places, stress = family.map(layer="three")
    assert places.columns == ["network", "group", "x", "y"]
    xy = places.select("x", "y").to_numpy()
    d, upper = family.distances(layer="three"), np.triu_indices(5, 1)
    shown = np.linalg.norm(xy[:, None] - xy, axis=2)[upper]
    assert stress == pytest.approx(np.sqrt(((shown - d[upper]) ** 2).sum() / (d[upper] ** 2).sum()), abs=1e-12)
    again, _ = family.map(layer="three")
    assert again.equals(places)


def test_points_of_a_plane_are_mapped_without_stress():
    at = {name: np.array(xy) for name, xy in zip(NAMES, [(0, 0), (3, 0), (0, 1), (2, 2), (1, 3)])}
    plane = table(kind="distance", value=lambda one, other, _: float(np.linalg.norm(at[one] - at[other])))
    _, stress = family_of([plane], NAMES).map(layer="one")
    assert stress < 1e-2


def test_measures_and_penalties_stand_side_by_side():
    penalty = table(measure="penalty", kind="distance", both=True, value=lambda a, b, at: -1.0 if a[0] == b[0] else 5.0)
    found = family_of([table(), penalty], NAMES, GROUPS)
    assert found.measures == {"cka": "similarity", "penalty": "distance"}
    every = found.separation.filter(layer=ALL)
    assert every.filter(measure="penalty")["auc"][0] == 1.0
    assert every.filter(measure="penalty")["within"][0] == 0.0  # below 0 it counts as 0
    assert {said.partition(" ")[0] for said in found.sentences()} == {"cka", "penalty"}


def test_marks_and_other_names(family):
    shown = marked_family(family, {"a0": "random, seed 0"})
    assert shown.names[0] == "a0 (random)"
    assert shown.separation.equals(family.separation)
    assert renamed(table().head(1), {"a0": "x"})["bottom"][0] == "x"


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"a": "x", "b": "x", "d": "y"}, "groups= names no network 'd': expected names of a, b, c"),
        ({"a": "x", "c": "y"}, "groups= does not cover b: expected a group for each of the 3 networks"),
        ({"a": "x", "b": "x", "c": "x"}, "groups= makes 1 group of 3 networks, the largest of 3: expected two"),
        ({"a": "x", "b": "y", "c": "z"}, "groups= makes 3 groups of 3 networks, the largest of 1: expected two"),
    ],
)
def test_groups_that_tell_nothing(groups, words):
    with pytest.raises(MeasureError, match=words):
        check_groups(groups, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda f: family_of([table()], NAMES[:2]),
            MeasureError,
            "A family needs three networks at least, found a0, a1",
        ),
        (lambda f: family_of([table().clear()], NAMES), StudyError, "There is nothing to show of the family"),
        (lambda f: family_of([table()], (*NAMES, "c")), MeasureError, "The network 'c' has no value with any other"),
        (lambda f: f.matrix("rsa"), MeasureError, "The family has no measure 'rsa': expected one of cka"),
        (
            lambda f: f.matrix(layer="four"),
            MeasureError,
            "no layer 'four': expected one of all layers, one, two, three",
        ),
        (lambda f: f.figure("penalty"), MeasureError, "A family has no figure 'penalty'"),
        (lambda f: family_of([table()], NAMES).separation, MeasureError, "No groups were given"),
        (
            lambda f: family_of(
                [table().filter(~((pl.col("bottom") == "a0") & (pl.col("top") == "b1")))], NAMES
            ).tree(),
            MeasureError,
            "cka has no value between a0 and b1 at all layers",
        ),
    ],
)
def test_what_cannot_be_shown(family, call, kind, words):
    with pytest.raises(kind, match=words):
        call(family)


def test_figures(family):
    whole = family.figure()
    assert [axes.get_title(loc="left") for axes in whole.axes][:2] == ["cka, all layers", ""]
    apart = family.figure("separation")
    assert apart.axes[0].get_ylabel() == "nearer within a group (AUC)"
