"""The paper's figures are made by a client of the library.

Public names, the zoo, and plumbing that knows nothing of networks.
"""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import modelstitch

PACKAGE = Path(modelstitch.__file__).parent
FILES = sorted((PACKAGE / "paper").rglob("*.py"))
OPEN = ("paper", "zoo", "support", "errors", "notation", "api")  # rooms and doors as a whole
ROOMS = ("modelstitch", "modelstitch.report", "modelstitch.stats", "modelstitch.study")  # what they list as public


def imported(path: Path) -> set[str]:
    """Everything of the package that a file imports, also as a string: "room.file.name"."""
    package, found = ("modelstitch", *path.relative_to(PACKAGE).parts[:-1]), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name != "modelstitch"}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ms":
            found.add(f"modelstitch.{node.attr}")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            assert "__package__" in {getattr(a, "id", "") for a in node.args}, f"{path.name}: a module from elsewhere"
    return {name.removeprefix("modelstitch.") for name in found if name.startswith("modelstitch.")}


def public(name: str) -> bool:
    room, _, last = name.rpartition(".")
    if name.split(".")[0] in OPEN or room in OPEN:
        return True
    home = f"modelstitch.{room}".rstrip(".")
    if home not in ROOMS:
        return False
    return last in import_module(home).__all__ or (home == "modelstitch" and f"modelstitch.{last}" in ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_figure_needs_public_names_alone(path):
    assert {name for name in imported(path) if not public(name)} == set()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from ..study.run import run", {"study.run.run"}),
        ("from ..study import Store, plan", {"study.plan"}),
        ("from ..engine import fit", {"engine.fit"}),
        ("import modelstitch.data.data", {"data.data"}),
        ("import modelstitch as ms\nms.compare; ms.nothing", {"nothing"}),
        ("from .. import Data, report, engine\nfrom ..zoo.train import train\nfrom .claims import near", {"engine"}),
    ],
)
def test_what_is_not_public_is_found(tmp_path, monkeypatch, line, found):
    path = PACKAGE / "paper" / "like.py"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: line)
    assert {name for name in imported(path) if not public(name)} == found


def test_the_public_rooms_name_what_they_have():
    for room in ROOMS:
        module = import_module(room)
        assert [name for name in module.__all__ if not hasattr(module, name)] == []
        assert len(set(module.__all__)) == len(module.__all__)  # in the order that ruff asks for
