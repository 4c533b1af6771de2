"""The ladder of families, and a family of a user's own: entered by name, told from others by its code."""

from itertools import pairwise

import pytest
import torch

from modelstitch.api import compare, stitch
from modelstitch.errors import StitchError, StudyError
from modelstitch.results import Results
from modelstitch.stitched.stitched import Stitched
from modelstitch.stitchers import FAMILIES, Affine, own_codes
from stitchers.closed_forms import mse, sides

QUICK = {"steps": 2, "eval_every": 2, "device": "cpu"}


def shrunk(factor):
    class Shrunk(Affine):
        family = "shrunk"

        def forward(self, x):
            return factor * super().forward(x)

    return Shrunk


@pytest.fixture
def entered():
    yield lambda cls: FAMILIES.__setitem__(cls.family, cls)
    FAMILIES.pop("shrunk", None)


def test_the_packages_own_families_have_no_code_of_a_user():
    assert own_codes(["affine", "low-rank:3", "norm-affine-norm"]) == ()


def test_a_changed_family_is_another_cell(pair, digits, tmp_path, entered):
    def compared(factor, folder) -> Results:
        entered(shrunk(factor))
        return compare(
            *pair,
            digits,
            layers=["block2"],
            family="shrunk:0.01",
            objective="match",
            controls=(),
            both=False,
            out=tmp_path / folder,
            **QUICK,
        )

    (one,), (same,), (other,) = (compared(*how).records for how in ((1.0, "a"), (1.0, "a"), (0.5, "b")))
    with pytest.raises(StudyError, match="family codes"):  # records of both in one folder would be pooled
        compared(0.5, "a")
    assert one["cell"] == same["cell"] != other["cell"]
    assert one["config"]["family"] == other["config"]["family"] == "shrunk:0.01"
    assert one["config"]["family_code"] != other["config"]["family_code"]


def test_a_stitch_of_it_is_saved_and_loaded(pair, digits, tmp_path, entered):
    entered(shrunk(0.9))
    s = stitch(*pair, "block2", digits, family="shrunk", **QUICK)
    s.save(tmp_path / "s")
    x = next(digits.batches("val", 4)).inputs
    with torch.no_grad():
        assert torch.equal(Stitched.load(tmp_path / "s", *pair)(x), s(x))
    FAMILIES.pop("shrunk")
    with pytest.raises(StitchError, match=r"'shrunk' is unknown: .* ms\.stitchers\.FAMILIES\['shrunk'\] = its class"):
        Stitched.load(tmp_path / "s", *pair)


@pytest.mark.parametrize("call", [stitch, compare])
def test_a_class_in_place_of_a_name_is_refused(pair, digits, call):
    where = ("block2",) if call is stitch else ()
    with pytest.raises(
        StitchError,
        match=r"expected a family such as 'affine', .*a class of your own is entered first: ms.stitchers.FAMILIES",
    ):
        call(*pair, *where, digits, family=shrunk(1.0), **QUICK)


LADDER = ["identity", "permutation", "orthogonal", "scaled-orthogonal", "affine"]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_the_ladder_only_descends(seed, offset):
    x, y = sides(6, 6, offset=offset, seed=seed)
    errors = [mse(text, x, y) for text in LADDER]
    slack = 1e-6 * y.var()  # the default ridge
    assert all(low <= high + slack for high, low in pairwise(errors))
    assert errors[0] > errors[-1] + 0.1
    between = [mse(text, x, y) for text in ("permutation", "scaled-permutation", "affine")]
    assert between == sorted(between, reverse=True)
    ranks = [mse(f"low-rank:{rank}", x, y) for rank in range(1, 7)]
    assert all(low <= high + slack for high, low in pairwise(ranks))
    assert ranks[-1] == pytest.approx(errors[-1], abs=slack)
