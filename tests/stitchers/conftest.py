"""What tests of families share."""

import pytest
import torch


@pytest.fixture
def double():
    """Torch makes float64 tensors meanwhile."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
