"""Where a number comes from."""

import platform
import re

import torch

from modelstitch import __version__
from modelstitch.support.version import provenance


def test_versions_machine_and_date_are_stated():
    found = provenance(torch.device("cpu"))
    assert found["modelstitch"] == __version__
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert re.fullmatch(r"cpu \(.*\)", found["device"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])


def test_the_threads_are_those_at_work():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert provenance(torch.device("cpu"))["threads"] == before + 1
    finally:
        torch.set_num_threads(before)
