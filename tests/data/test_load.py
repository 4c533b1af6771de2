"""What is refused by name; each loader has its own tests."""

import pytest

from modelstitch.data.load import load_data
from modelstitch.errors import DataError


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            "digitz",
            {},
            "The data 'digitz' is not known: expected one of digits, digit-traits, diabetes, shapes, parquet:DIR",
        ),
        ("parquet:", {}, "The data 'parquet:' is not known"),
        ("digits:here", {}, "The data 'digits:here' is not known"),
        ("torchvision:digits", {}, "The data 'torchvision:digits' is not known"),
        ("digits", {"limit": 0}, "limit must be 1 or more, found 0"),
    ],
)
def test_refusals(spec, options, message):
    with pytest.raises(DataError, match=message):
        load_data(spec, **options)
