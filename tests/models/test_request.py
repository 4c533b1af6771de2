"""What is asked of a loader: options that nobody takes, and names that are nearly right."""

import pytest

from modelstitch.errors import SourceError
from modelstitch.models.request import Request, check_options, closest


def request(**options):
    return Request("timm:x?a=1", "x", None, None, None, False, None, 0, False, options=options)


def test_an_option_that_no_one_takes_is_named():
    check_options(request())
    with pytest.raises(SourceError, match=r"The options a, b of 'timm:x\?a=1' are unknown"):
        check_options(request(a="1", b="2"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet8", "did you mean 'resnet18' or 'resnet50'?"),
        ("zzz", "check the name."),
        ("vit_b", "did you mean 'vit_b_16'?"),
    ],
)
def test_close_names_end_the_sentence(name, words):
    assert closest(name, iter(["resnet50", "resnet18", "vit_b_16"])) == words
