"""Imports point one way: no room imports a room above it, inside functions neither."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "modelstitch"

# Lower rooms first. A room may import its own rank and below.
RANKS = [
    {"errors", "notation", "support"},
    {"records", "views"},
    {"stats"},
    {"network"},
    {"data"},
    {"zoo"},
    {"models", "moments"},
    {"stitchers", "measures"},
    {"engine", "arrays"},
    {"study"},
    {"report"},
    {"results", "stitched", "layerwise"},
    {"api", "plugins"},
    {"paper"},
    {"cli", "__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> tuple[str, ...]:
    """The dotted name of a file, below the package; () for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports(path: Path):
    """Dotted names, below the package, of everything a file imports: anywhere, for types alone, and by a string."""
    package = path.relative_to(SOURCE).parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = (*package[: len(package) - (node.level - 1)], *(node.module.split(".") if node.module else ()))
            elif (node.module or "").split(".")[0] == "modelstitch":
                base = tuple(node.module.split(".")[1:])
            else:
                continue
            yield from (found if (found := (*base, alias.name)) in MODULES else base for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (tuple(a.name.split(".")[1:]) for a in node.names if a.name.split(".")[0] == "modelstitch")
    yield from named_by_strings(tree, package)


def named_by_strings(tree: ast.Module, package: tuple[str, ...]):
    """Modules named by strings: whole names anywhere.

    In a file that imports by a string from a table, all that lead somewhere.
    """
    tables = any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
        and not isinstance(node.args[0], ast.Constant)
        for node in ast.walk(tree)
    )
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        name = node.value.partition(":")[0]
        if name.startswith("modelstitch."):
            module = tuple(name.split(".")[1:])
        elif tables and name.strip("."):
            module = (*package, *name.strip(".").split("."))
        else:
            continue
        while module and module not in MODULES and name.startswith("modelstitch."):  # a name within a module
            module = module[:-1]
        if module in MODULES and module != package:
            yield module


def circles(edges):
    """Sets of modules each of which leads to every other."""

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            new = edges.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    ways = {module: reached(module) for module in edges}
    return {frozenset(m for m in ways[start] if start in ways[m]) for start in edges if start in ways[start]}


FILES = sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or p.name != "__init__.py")


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_import_points_upwards(path):
    room = room_of(path)
    assert room in RANK, f"{room} has no place in the order of rooms: give it one in this test and in docs/design.md"
    for module in imports(path):
        if module and module[0] in RANK:
            assert RANK[module[0]] <= RANK[room], (
                f"{path.name} ({room}) imports {'.'.join(module)}, which lies above it"
            )


@pytest.mark.slow
def test_no_circle_of_imports():
    edges = {module: set(imports(path)) - {module} for module, path in MODULES.items()}
    assert circles(edges) == set()


class FakePath:
    """A file that is not there."""

    def __init__(self, path, text):
        self.path, self.text = path, text

    def relative_to(self, other):
        return self.path.relative_to(other)

    def read_text(self, encoding):
        return self.text


def test_imports_are_seen_wherever_they_stand():
    text = """
from typing import TYPE_CHECKING
from importlib import import_module
if TYPE_CHECKING:
    from ..network import Network
_TABLE = {"one": ".train", "two": ("nets:FIGURE", "words that lead nowhere")}
def late(kind):
    from ..support import files
    import_module(_TABLE[kind], __package__)
    import_module("modelstitch.api.compare")
"""
    path = SOURCE / "zoo" / "made_up.py"
    found = set(imports(FakePath(path, text)))
    assert found == {("network",), ("support", "files"), ("zoo", "train"), ("zoo", "nets"), ("api",)}


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {frozenset("bc")}


def test_the_torch_free_rooms_know_only_the_torch_free_half_of_a_study():
    for path in FILES:
        if room_of(path) == "report":
            for module in imports(path):
                if module[0] == "study":
                    assert module[1:2] in [("store",), ("spec",), ("question",)], f"{path.name}: {module}"


def test_the_root_holds_the_doors_alone():
    loose = {p.name for p in SOURCE.iterdir() if p.is_file()}
    assert loose == {"__init__.py", "__main__.py", "api.py", "results.py", "errors.py", "notation.py", "py.typed"}


def test_no_room_has_the_name_of_a_public_function():
    import modelstitch

    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir()}
    assert not rooms & set(modelstitch._PLACES)


LARGE = {"scipy", "sklearn", "matplotlib", "pandas", "torchvision"}


def at_once(path):
    """Dotted names of all that a file imports as soon as it is imported itself; of ours with their rooms."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            base = (*package[: len(package) - (node.level - 1)], *(node.module.split(".") if node.module else ()))
            for found in [base, *((*base, alias.name) for alias in node.names)]:
                yield from ("/".join(("", *found[:n])) for n in range(1, len(found) + 1) if found[:n] in MODULES)


def test_large_libraries_are_imported_where_they_are_used():
    """Nobody waits for scipy or scikit-learn before they are needed, nor for a file of ours that needs them."""
    leads = {"/".join(("", *module)): set(at_once(path)) for module, path in MODULES.items()}
    waits = {module for module, names in leads.items() if {name.split(".")[0] for name in names} & LARGE}
    own = {"/arrays/aligner", "/report/figures/sheet", "/paper/matching"}  # an estimator; a figure; a client
    assert waits == own
    while more := {module for module, names in leads.items() if names & waits} - waits:  # and who imports those
        waits |= more
    others = {module for module in waits if not module.startswith("/paper/")} - own
    assert others == {"/arrays/rehearsal"}
