"""Every family passes the contract, and the contract fails families that break a clause."""

from __future__ import annotations

import pytest
import torch

from modelstitch.errors import ContractError, FitError, ShapeError, StitchError
from modelstitch.moments.moments import Moments
from modelstitch.stitchers import FAMILIES, Affine, Site, check, family_of
from modelstitch.stitchers.orthogonal import Orthogonal

WRITTEN = [
    "identity",
    "permutation",
    "scaled-permutation",
    "orthogonal",
    "scaled-orthogonal",
    "l-ortho",
    "standard-orthogonal",
    "relative",
    "relative-whitened",
    "low-rank:1",
    "low-rank:6",
    "affine",
    "affine:0.01",
    "affine:0",
    "norm-affine-norm",
    "conv:1",
    "conv:3",
    "mlp",
    "mlp:5",
]


def test_every_family_is_listed():
    assert {text.partition(":")[0] for text in WRITTEN} == set(FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("text", WRITTEN)
def test_every_family_passes(text, seed):
    if text == "affine:0":
        # Without any ridge the cut of tiny eigenvalues alone keeps collinear channels stable.
        check(Affine, ridge=0.0, seed=seed)
    check(text, seed=seed)


class Good(Affine):
    family = "good"


class WrongShape(Good):
    def forward(self, x):
        return super().forward(x)[:1]


class WrongType(Good):
    def forward(self, x):
        return super().forward(x).double()


class Doubles(Good):
    def forward(self, x):
        y = super().forward(x)
        with torch.no_grad():
            x *= 2
        return y


class SharesMoments(Good):
    @classmethod
    def solve(cls, moments, site, **options):
        self = super().solve(moments, site)
        self.register_buffer("seen", moments.mean_x)
        return self


class UsesRandomState(Good):
    def forward(self, x):
        torch.rand(1)
        return super().forward(x)


class Noisy(Good):
    def forward(self, x):
        noise = torch.randn(x.shape[0], generator=torch.Generator().manual_seed(id(self) % 2**31))
        return super().forward(x) + noise.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)


class MixesExamples(Good):
    def forward(self, x):
        return super().forward(x) + x.mean()


class Detached(Good):
    def forward(self, x):
        return super().forward(x).detach().requires_grad_()


class Unsaved(Good):
    offset = 0.0

    @classmethod
    def solve(cls, moments, site, **options):
        self = super().solve(moments, site)
        self.offset = float(moments.mean_y[0])
        return self

    def forward(self, x):
        return super().forward(x) + self.offset


class OneRow(Good):
    @classmethod
    def solve(cls, moments, site, **options):
        if moments.n < 2:
            return cls(site, torch.zeros(site.q, site.p), moments.mean_y)
        return super().solve(moments, site)


class PlainLeastSquares(Good):
    @classmethod
    def solve(cls, moments, site, **options):
        if moments.n < 2:
            raise FitError("too few")
        weight = torch.linalg.solve(moments.xx, moments.xy).T
        return cls(site, weight, moments.mean_y - weight @ moments.mean_x)


class ClaimsTooMuch(Orthogonal):
    family = "claims"
    invariant = ("scale",)


class Claims(Good):
    invariant = ("rotation",)


class Nowhere(Good):
    @classmethod
    def solve(cls, moments, site, **options):
        raise ShapeError("no")


class Wordless(Good):
    @classmethod
    def solve(cls, moments, site, **options):
        raise ShapeError("")


class Untold(Good):
    solved = ""


class ClaimsFixed(Good):
    trainable = False


BROKEN = [
    (WrongShape, r"breaks the clause 'shape \(map\)': expected \(40, 6, 3, 4\), found \(1, 6, 3, 4\)"),
    (WrongType, r"breaks the clause 'type \(map\)': expected torch.float32, found torch.float64"),
    (Doubles, "'no mutation': expected the input as it was"),
    (SharesMoments, "'no mutation': expected the moments' mean_x as it was"),
    (UsesRandomState, "'random state'"),
    (Noisy, "'determinism'"),
    (MixesExamples, "'one example'"),
    (Detached, "'gradients': expected a finite gradient of the input"),
    (Unsaved, "'save and load'"),
    (OneRow, "'one row': expected FitError, found a stitcher"),
    (PlainLeastSquares, "'(dead|collinear) channels'"),
    (ClaimsTooMuch, "'invariance to scale'"),
    (Claims, "'description': expected invariances among shift, .*, found rotation"),
    (Nowhere, "'layouts'"),
    (Wordless, "'refusals': expected a reason why map is refused"),
    (Untold, "'description': expected a text in 'solved'"),
    (ClaimsFixed, "'gradients': expected no parameter that asks for one"),
]


@pytest.mark.parametrize(("cls", "message"), BROKEN, ids=[cls.__name__ for cls, _ in BROKEN])
def test_a_broken_clause_is_named(cls, message):
    with pytest.raises(ContractError, match=message):
        check(cls)


def test_a_users_own_family_passes():
    check(Good)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("afine", "The family 'afine' is unknown: expected one of identity, permutation"),
        ("low-rank:x", r"expected a whole number \(rank\) after the colon, found 'x'"),
        ("low-rank:2.5", "expected a whole number"),
        ("affine:-1", r"expected a number of 0 or more \(ridge\) after the colon, found '-1'"),
        ("affine:nan", "found 'nan'"),
        ("identity:3", "expected nothing after the colon, found '3'"),
    ],
)
def test_written_families_that_cannot_be_read(text, message):
    with pytest.raises(StitchError, match=message):
        family_of(text)


@pytest.mark.parametrize("family", [torch.nn.Linear, 3])
def test_what_is_no_family_is_refused(family):
    with pytest.raises(ContractError, match=r"A family must be a subclass of modelstitch.stitchers.Stitcher"):
        check(family)


def test_written_families():
    assert family_of("low-rank:16")[1] == {"rank": 16}
    assert family_of("affine:1e-3") == (Affine, {"ridge": 1e-3})
    assert family_of("mlp") == (FAMILIES["mlp"], {})


REFUSALS = [
    ("permutation", Site(3, 4, "vector"), "needs as many channels below as above: expected 4, found 3"),
    ("identity", Site(3, 4, "vector"), "use 'affine' or 'low-rank'"),
    ("low-rank:4", Site(3, 5, "vector"), "The rank 4 does not fit 3 -> 5 channels: expected 1 to 3"),
    ("conv:3", Site(3, 4, "tokens"), "needs a map with height and width, a sequence or a volume, found tokens"),
    ("conv:2", Site(3, 4, "map"), "The kernel size 2 cannot keep the size of a map: expected an odd number"),
]


@pytest.mark.parametrize(("text", "site", "message"), REFUSALS, ids=[text for text, _, _ in REFUSALS])
def test_sites_without_a_member(text, site, message):
    cls, options = family_of(text)
    x = torch.randn(30, site.p, generator=torch.Generator().manual_seed(0))
    y = torch.randn(30, site.q, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ShapeError, match=message):
        cls.solve(Moments.of(x, y), site, **options)


def test_a_batch_of_one_row_cannot_be_normalised():
    cls, _ = family_of("norm-affine-norm")
    stitcher = cls(Site(3, 3, "vector")).train()
    with pytest.raises(FitError, match="A batch of one row has no spread to normalise by"):
        stitcher(torch.randn(1, 3))


def test_a_negative_ridge_is_refused():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(FitError, match=r"The ridge strength -1.0 cannot be used"):
        Affine.solve(Moments.of(x, x), Site(3, 3, "vector"), ridge=-1.0)
