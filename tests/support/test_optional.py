"""Optional packages that are not there: one sentence that names the command to install them."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from modelstitch.errors import MissingExtraError
from modelstitch.models.load import load
from modelstitch.support.optional import EXTRA_OF, need


def without(monkeypatch: pytest.MonkeyPatch, package: str, error: Exception) -> None:
    """Make importing a package fail as it would."""
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)

    class Finder:
        def find_spec(self, name: str, path: Any, target: Any = None) -> None:
            if name.split(".")[0] == package:
                raise error

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])


SPECS = {"timm": "timm:test_resnet", "torchvision": "torchvision:resnet18", "open_clip": "openclip:RN50"}
ERRORS = [
    ImportError("No module named it"),
    RuntimeError("operator torchvision::nms does not exist\nmore lines"),
    OSError("libcudart.so: cannot open shared object file"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("package", SPECS)
def test_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str, error: Exception) -> None:
    without(monkeypatch, package, error)
    first = str(error).splitlines()[0]
    with pytest.raises(MissingExtraError) as caught:
        load(SPECS[package])
    text = str(caught.value)
    assert f"cannot be imported ({type(error).__name__}: {first})" in text
    assert f"install it with pip install 'modelstitch[{EXTRA_OF[package]}]'" in text
    assert "\n" not in text


def test_transformers_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch, "transformers", ImportError("No module named 'transformers'"))
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}', encoding="utf-8")
    with pytest.raises(MissingExtraError, match=r"pip install 'modelstitch\[hf\]'"):
        load(f"hf:{tmp_path}")


def test_a_package_that_is_there() -> None:
    assert need("builtins") is builtins
