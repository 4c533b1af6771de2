"""One value and its null level; what fails takes no other with it."""

import pytest

from layerwise.small import block_of, met, rows_of, saved, third, world
from modelstitch.errors import MeasureError
from modelstitch.layerwise import ways
from modelstitch.layerwise.meeting import Meeting
from modelstitch.layerwise.plan import Block, Step
from modelstitch.layerwise.ways import SideError, attempt, measured
from modelstitch.measures import MEASURES, Measure

CKA = MEASURES["cka_linear_debiased"]
OWN = Measure("mine", lambda x, y: 0.0, "similarity", "0", "made up")


def values(right, shuffled=0.25):
    """What gives these values, or raises them."""

    def value_of(shuffle):
        found = right if shuffle is None else shuffled
        if isinstance(found, Exception):
            raise found
        return found

    return value_of


def test_a_value_and_its_null_level():
    assert attempt(CKA, values(0.5, AssertionError()), 0, "a and b") == (0.5, None, "")
    value, null, note = attempt(CKA, values(0.5), 3, "a and b")
    assert (value, null.mean, note) == (0.5, 0.25, "")


def test_a_value_that_is_not_defined_is_noted_and_no_null_level_is_asked_for():
    found = attempt(CKA, values(MeasureError("too few"), AssertionError()), 3, "a and b")
    assert found == (None, None, "a and b: too few")


def test_a_side_that_is_to_blame_is_named_by_itself():
    found = attempt(CKA, values(SideError("a never varies")), 3, "a and b")
    assert found == (None, None, "a never varies")


def test_a_null_level_that_is_not_defined_leaves_the_value():
    found = attempt(CKA, values(0.5, MeasureError("too few")), 3, "a and b")
    assert found == (0.5, None, "a and b, pairs shuffled: too few")


def test_what_a_users_own_measure_raises_is_noted():
    found = attempt(OWN, values(ZeroDivisionError("by zero\nand more")), 3, "a and b")
    assert found == (None, None, "a and b: the measure 'mine' raised ZeroDivisionError: by zero")


@pytest.mark.parametrize(("measure", "error"), [(CKA, ZeroDivisionError("ours")), (OWN, MemoryError("none left"))])
def test_our_own_mistakes_and_a_lack_of_memory_are_raised(measure, error):
    with pytest.raises(type(error)):
        attempt(measure, values(error), 3, "a and b")


def test_every_measure_of_every_pair():
    meeting = Meeting({}, {"a": ("x",), "b": ("y", "z")}, (("a", "b"),), both=True)
    block = Block({"a@x": 1}, {"b@y": 1, "b@z": 1}, meeting.pairs)
    directed = MEASURES["r2_bottom_to_top"]
    found = measured([CKA, directed], meeting, block, lambda m, b, t, k: float(b < t), 0)
    seams = [("a@x", "b@y", 1.0), ("a@x", "b@z", 1.0)]
    turned = [(t, b, 0.0) for b, t, _ in seams]
    assert [(p.measure, p.bottom, p.top, p.value) for p in found] == [
        *((CKA, *seam) for seam in seams),
        *((directed, *seam) for seam in [*seams, *turned]),
    ]


NAMES = ("mutual_knn", "rsa", "cka_rbf")


def test_every_pair_and_measure():
    a, b, data = world()
    own = Measure("mine", lambda x, y: float(len(x)), "similarity", "n", "made up", high=1e9)
    measures = (*(MEASURES[name] for name in NAMES), own)
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    found = ways.run_rows(rows_of(meeting, data), block, Step("rows", measures, (block,), 0, 1), 7, 3, 0)
    assert len(found) == 2 * 1 * 4
    for one in found:
        wanted = one.measure(saved(a, one.bottom[2:], data), saved(b, one.top[2:], data))
        assert one.value == pytest.approx(wanted, abs=1e-5), one.measure.name
        assert one.null is not None
    assert [one.value for one in found if one.measure is own] == [60.0, 60.0]


def test_too_few_examples_are_noted_and_nothing_is_raised():
    a, b, data = world(5)
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    found = ways.run_rows(
        rows_of(meeting, data), block, Step("rows", (MEASURES["mutual_knn"],), (block,), 0, 1), 7, 0, 0
    )
    assert [one.value for one in found] == [None, None]
    assert all("mutual_knn" in one.note for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["pool", "flatten"])
@pytest.mark.parametrize("name", ["cka_linear_biased", "cka_linear_debiased"])
@pytest.mark.parametrize(("chunk", "held"), [(256, 256), (16, 16), (16, 32)])
def test_all_examples_in_any_blocks(monkeypatch, view, name, chunk, held):
    monkeypatch.setattr(ways, "CHUNK", chunk)
    a, b, data = world()
    meeting = met(a, b, data=data)
    block = block_of(meeting, view)
    step = Step("gram", (MEASURES[name],), (block,), 0, 1, held)
    found = ways.run_full(rows_of(meeting, data, view), block, step, 7, 3, 0)
    assert len(found) == 2
    for one in found:
        wanted = MEASURES[name](saved(a, one.bottom[2:], data, view), saved(b, one.top[2:], data, view))
        assert one.value == pytest.approx(wanted, abs=1e-4)
        assert one.null is not None


def test_minibatches(monkeypatch):
    monkeypatch.setattr(ways, "MINIBATCH", 20)
    a, b, data = world()
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    step = Step("minibatch", (MEASURES["cka_minibatch"],), (block,), 0, 1)
    found = ways.run_minibatch(rows_of(meeting, data), block, step, 7, 2, 0)
    from modelstitch.measures import minibatch_cka

    for one in found:
        wanted = minibatch_cka(saved(a, one.bottom[2:], data), saved(b, one.top[2:], data), batch=20)
        assert one.value == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("way", "name"), [("minibatch", "cka_minibatch"), ("gram", "cka_linear_debiased")])
def test_a_set_of_networks_gives_the_values_of_its_pairs(monkeypatch, way, name):
    monkeypatch.setattr(ways, "CHUNK", 16)
    networks, data = [*world()[:2], third()], world()[2]
    run = ways.run_minibatch if way == "minibatch" else ways.run_full

    def values(*some):
        meeting = met(*some, data=data, layers=["0", "2"] if len(some) > 2 else (["0", "2"],) * 2)
        block = block_of(meeting, "flatten")
        found = run(rows_of(meeting, data, "flatten"), block, Step(way, (MEASURES[name],), (block,), 0, 1, 32), 7, 2, 0)
        return {(one.bottom, one.top): (one.value, one.null.mean) for one in found}

    whole = values(*networks)
    assert len(whole) == 12
    for i, one in enumerate(networks):
        for other in networks[i + 1 :]:
            for seam, found in values(one, other).items():
                assert found == pytest.approx(whole[seam], abs=1e-9)


SUMMED = ("cka_linear_biased", "cka_linear_debiased", "procrustes_similarity", "r2_bottom_to_top")


@pytest.mark.parametrize("several", [False, True])
def test_every_pair_and_measure_from_sums(several):
    a, b, data = world()
    networks = {net.name: net for net in ((a, b, third()) if several else (a, b))}
    meeting = met(*networks.values(), data=data, **({"layers": ["0", "2"]} if several else {}))
    measures, block = tuple(MEASURES[name] for name in SUMMED), block_of(meeting)
    assert block.one_set == several
    found = ways.run_sums(rows_of(meeting, data), block, Step("sums", measures, (block,), 0, 1), 7, 5, 0)
    # three pairs of 2 x 2 layers, and the other way for the measure that looks one way
    assert len(found) == (3 * 4 * 5 if several else 2 * 1 * 4)
    for one in found:
        (below, b_layer), (above, t_layer) = (key.split("@") for key in (one.bottom, one.top))
        wanted = one.measure(saved(networks[below], b_layer, data), saved(networks[above], t_layer, data))
        assert one.value == pytest.approx(wanted, abs=1e-5)
        assert one.null is not None
        assert one.note == ""


def test_the_null_level_of_the_unbiased_is_near_nothing():
    a, b, data = world(600)
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    step = Step("sums", (MEASURES["cka_linear_debiased"],), (block,), 0, 1)
    for one in ways.run_sums(rows_of(meeting, data), block, step, 100, 20, 0):
        assert abs(one.null.mean) < 0.02 < one.value


def test_without_shuffles_there_is_no_null_level():
    a, b, data = world()
    meeting = met(a, b, data=data)
    block = block_of(meeting)
    found = ways.run_sums(rows_of(meeting, data), block, Step("sums", (MEASURES[SUMMED[0]],), (block,), 0, 1), 7, 0, 0)
    assert [one.null for one in found] == [None, None]
