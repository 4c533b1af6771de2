"""What the house costs its readers and its users.

Lines, files, names, how far a call walks, and processor time on one thread.

    python benchmarks/house.py                                   # counts and walks of this tree: seconds
    python benchmarks/house.py times --src OLD/src --src src     # two trees in turn, and their ratio: minutes
    python benchmarks/house.py counts walks times --src SRC --out docs/results/house.md
    python benchmarks/house.py counts --json

``counts`` reads source text. ``walks`` runs small questions with all modules imported before, and says which own files
were entered and how many own frames stood on the stack where the first optimiser step was taken and where the first
record was written. ``times`` runs `demo` and the questions of tests/golden, each in a fresh process of one thread: each
round runs every tree once, ratios are taken within a round, and the processor's time is what counts where a machine is
shared.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
APART = ("paper", "zoo")  # counted by themselves: clients and recipes, not the way of a stitch
COMPLEX, WIDE = 15, 120
TIMED = ("demo", "pair", "across", "matrix", "similarity")  # a command, and the questions of tests/golden/questions.py
IGNORED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)

Row = dict[str, Any]


def files_of(src: Path) -> list[Path]:
    """Python files of the package below ``src``."""
    return sorted((src / "modelstitch").rglob("*.py"))


def lines_of(text: str) -> Counter[str]:
    """Lines of a source text by what stands on them: code, docstring, comment, blank, wide.

    And the number of ``fmt: skip``.
    """
    code, comments, skips = set[int](), set[int](), 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
            skips += "fmt: skip" in token.string
        elif token.type not in IGNORED:
            code.update(range(token.start[0], token.end[0] + 1))
    documented = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = text.splitlines()
    return Counter(
        lines=len(lines),
        code=len(code - documented),
        docstring=len(documented),
        comment=len(comments - code - documented),
        wide=sum(len(line) > WIDE for line in lines),
        skips=skips,
    )


def count(src: Path) -> Row:
    """All counts of the package below ``src``."""
    parts: dict[str, Counter[str]] = {"all": Counter(), "own": Counter(), **{name: Counter() for name in APART}}
    for path in files_of(src):
        found = lines_of(path.read_text(encoding="utf-8")) + Counter(files=1)
        room = path.relative_to(src / "modelstitch").parts[0]
        for part in ("all", room if room in APART else "own"):
            parts[part] += found
    beside = Counter[str]()
    for folder in ("tests", "benchmarks"):
        for path in sorted((src.parent / folder).rglob("*.py")):
            beside += lines_of(path.read_text(encoding="utf-8"))
    loose = sorted(p.name for p in (src / "modelstitch").glob("*.py"))
    return {
        "parts": {
            name: {k: found[k] for k in ("files", "lines", "code", "docstring", "comment")}
            for name, found in parts.items()
        },
        "loose_files": loose,
        "public_names": json.loads(
            _within(src, "import json, modelstitch as m; print(json.dumps(sorted(set(m.__all__) - {'__version__'})))")
        ),
        "complex_functions": complex_functions(src),
        "fmt_skip": parts["all"]["skips"],
        "fmt_skip_beside": beside["skips"],
        "wide_lines": parts["all"]["wide"],
        "wide_lines_beside": beside["wide"],
    }


def complex_functions(src: Path) -> dict[str, int]:
    """Functions of a cyclomatic complexity above 15, the most complex first."""
    found = {}
    for path in files_of(src):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTIONS) and (number := complexity(node)) > COMPLEX:
                found[f"{path.relative_to(src / 'modelstitch')}:{node.name}"] = number
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def complexity(function: ast.AST) -> int:
    """One more than the branches of a function, conditions of comprehensions and of `and` and `or` included.

    Functions within apart.
    """
    number, waiting = 1, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTIONS):
            continue
        number += isinstance(node, BRANCHES)
        if isinstance(node, ast.BoolOp):
            number += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            number += 1 + len(node.ifs)
        waiting += ast.iter_child_nodes(node)
    return number


def walk(src: Path, only: tuple[str, ...] = ()) -> Row:
    """Own files entered and own frames on the stack by call (``only`` these), from a process of its own."""
    return dict(json.loads(_within(src, f"import house; house.walked({str(src)!r}, {only!r})")))


def walked(src: str, only: tuple[str, ...] = ()) -> None:
    """Within a fresh process whose path begins with ``src``: print what ``walk`` gives."""
    import importlib
    import pkgutil

    import questions

    import modelstitch as ms

    package = Path(ms.__file__).resolve().parent
    assert package == Path(src).resolve() / "modelstitch", package
    for found in pkgutil.walk_packages([str(package)], "modelstitch."):  # what is imported late would count as entered
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except ImportError:
                continue  # an extra that is not installed
    from torch.optim import Optimizer

    below, above, data = questions.network("conv0"), questions.network("conv1"), questions.data()
    module, example = questions.build(questions.NETS["conv0"]).eval(), next(data.batches("val", 2)).inputs
    kept = Path(tempfile.mkdtemp())
    fit = {"steps": 2, "eval_every": 2, "batch_size": 64}
    calls: dict[str, Callable[[], Any]] = {
        "Network": lambda: ms.Network(module, example, "net"),
        "stitch": lambda: ms.stitch(below, above, "block1", data, **fit),
        "compare": lambda: ms.compare(below, above, data, layers=["block1"], out=kept, **fit),
        "matrix": lambda: ms.matrix(below, above, data),
        "similarity": lambda: ms.similarity(below, above, data=data),
    }
    seen: dict[str, str | None] = {}  # a file's name as code has it, and as it stands in the package
    entered: set[str] = set()
    marks: dict[str, tuple[int, list[str]]] = {}

    def own(file: str) -> str | None:
        if file not in seen:
            path = Path(file).resolve()
            seen[file] = str(path.relative_to(package)) if path.is_relative_to(package) else None
        return seen[file]

    def mark(name: str) -> None:
        frame, frames = sys._getframe(1), list[str]()
        while frame is not None:
            place = own(frame.f_code.co_filename)
            if place and not frame.f_code.co_name.startswith("<"):
                frames.append(f"{place}:{frame.f_code.co_name}")
            frame = frame.f_back  # type: ignore[assignment]
        marks.setdefault(name, (len(entered), frames[::-1]))

    def profile(frame: Any, event: str, _: object) -> None:
        if event == "call":
            place = own(frame.f_code.co_filename)
            if place:
                entered.add(place)
            elif frame.f_code.co_name == "step" and isinstance(frame.f_locals.get("self"), Optimizer):
                mark("step")

    def audit(event: str, words: tuple[Any, ...]) -> None:
        if (
            event in ("os.rename", "os.link")
            and str(words[1]).endswith(".json")
            and kept.name in str(words[1])
            and "cells" in str(words[1])
        ):
            mark("record")

    sys.addaudithook(audit)
    answer: Row = {}
    for name in only or calls:
        entered.clear()
        marks.clear()
        sys.setprofile(profile)
        try:
            calls[name]()
        finally:
            sys.setprofile(None)
        answer[name] = {"files": sorted(entered)} | {
            key: {"files": number, "frames": frames} for key, (number, frames) in marks.items()
        }
    print(json.dumps(answer))


def run(what: str, src: Path) -> tuple[float, float]:
    """Processor and clock seconds of the command or question ``what``, in a fresh process of one thread."""
    if what != "demo":
        processor, clock = json.loads(_within(src, f"import house; house.asked({what!r})"))
        return float(processor), float(clock)
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "modelstitch", "demo", "--out", out]
        began, before = time.perf_counter(), os.times()
        _done(src, words, cwd=out)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return spent, time.perf_counter() - began


def asked(name: str) -> None:
    """Within a fresh process.

    Answer one golden question, and print its processor and clock seconds, imports of torch apart.
    """
    import questions
    import torch

    torch.set_num_threads(1)
    clock, processor = time.perf_counter(), time.process_time()
    questions.answer(name)
    print(json.dumps([time.process_time() - processor, time.perf_counter() - clock]))


def times(sources: list[Path], rounds: int, names: tuple[str, ...]) -> dict[str, list[list[tuple[float, float]]]]:
    """By name: for each tree, the processor and clock seconds of each round."""
    found: dict[str, list[list[tuple[float, float]]]] = {name: [[] for _ in sources] for name in names}
    for number in range(rounds):
        for name in names:
            for index, src in enumerate(sources):
                found[name][index].append(run(name, src))
                print(f"round {number + 1}: {name}, {label(src)}: {found[name][index][-1][0]:.2f} s", file=sys.stderr)
    return found


def label(src: Path) -> str:
    """The commit of a tree."""
    words = ["git", "-C", str(src), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "no commit"


def _surroundings(src: Path) -> dict[str, str]:
    golden = src.parent / "tests" / "golden"
    path = os.pathsep.join(
        str(p.resolve()) for p in (src, golden if golden.is_dir() else ROOT / "tests" / "golden", Path(__file__).parent)
    )
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def _within(src: Path, code: str) -> str:
    """The last line that ``code`` prints in a fresh process that imports the package below ``src``."""
    return _done(src, [sys.executable, "-c", code]).strip().splitlines()[-1]


def _done(src: Path, words: list[str], **how: Any) -> str:
    """What a command prints that imports the package below ``src``; a sentence ends this one where it fails."""
    ended = subprocess.run(words, env=_surroundings(src), capture_output=True, text=True, **how)
    if ended.returncode:
        why = (ended.stderr.strip().splitlines() or ["no word"])[-1]
        raise SystemExit(
            f"The tree {src} cannot do `python {' '.join(words[1:])}` ({why}): expected one that knows all that is "
            "asked; try --only with other questions, or a tree with tests/golden of its own."
        )
    return ended.stdout


def counts_table(found: Row) -> Iterator[str]:
    """Markdown lines."""
    yield "| of src | files | lines | code | docstring | comment alone |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, part in found["parts"].items():
        title = f"without {' and '.join(APART)}" if name == "own" else name
        yield f"| {title} | {' | '.join(f'{part[k]:,}' for k in ('files', 'lines', 'code', 'docstring', 'comment'))} |"
    yield ""
    yield f"- {len(found['loose_files'])} files at the root of the package."
    yield f"- {len(found['public_names'])} public names: {', '.join(found['public_names'])}."
    worst = ", ".join(f"`{place}` {number}" for place, number in list(found["complex_functions"].items())[:5])
    yield (
        f"- {len(found['complex_functions'])} functions of a cyclomatic complexity above "
        f"{COMPLEX}{': ' if worst else ''}{worst}."
    )
    yield (
        f"- {found['wide_lines']} lines over {WIDE} characters ({found['wide_lines_beside']} more in tests "
        f"and benchmarks)."
    )
    yield f"- {found['fmt_skip']} `fmt: skip` ({found['fmt_skip_beside']} more in tests and benchmarks)."


def walks_table(found: Row) -> Iterator[str]:
    """Markdown lines."""
    yield "| call | own files entered | files, frames at the first optimiser step | files, frames at the first record |"
    yield "|---|---:|---:|---:|"
    for name, part in found.items():
        cells = [f"{part[k]['files']}, {len(part[k]['frames'])}" if k in part else "-" for k in ("step", "record")]
        yield f"| {name} | {len(part['files'])} | {' | '.join(cells)} |"
    for key, what in (("step", "first optimiser step"), ("record", "first record")):
        if key in found["compare"]:
            frames = " > ".join(f"`{frame}`" for frame in found["compare"][key]["frames"])
            yield ""
            yield f"From `compare` to the {what}: {frames}."


def times_table(found: dict[str, list[list[tuple[float, float]]]], sources: list[Path]) -> Iterator[str]:
    """Markdown lines: medians of each tree, and of the ratios of each later tree to the first within a round."""
    head = ["what", *(f"{label(src)}: processor s, clock s" for src in sources)]
    head += [f"{label(src)} / {label(sources[0])}, processor" for src in sources[1:]]
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for name, trees in found.items():
        cells = [", ".join(f"{statistics.median(t[i] for t in tree):.2f}" for i in (0, 1)) for tree in trees]
        for tree in trees[1:]:
            each = [new[0] / old[0] for old, new in zip(trees[0], tree)]
            cells.append(f"{statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f})")
        yield f"| {name} | {' | '.join(cells)} |"


def main(words: list[str] | None = None) -> int:
    """Measure what is asked for; print it as text or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help="counts, walks, times; the first two by default")
    parser.add_argument(
        "--src", type=Path, action="append", help="the source folder of a tree; several are timed in turn"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of times")
    parser.add_argument("--only", action="append", choices=TIMED, help="what is timed; all by default")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="the page to write")
    chosen = parser.parse_args(words)
    sections = chosen.sections or ["counts", "walks"]
    if not set(sections) <= {"counts", "walks", "times"}:
        parser.error(f"expected counts, walks or times, found {' '.join(sections)}")
    sources = [src.resolve() for src in chosen.src or [ROOT / "src"]]
    names = tuple(chosen.only or TIMED)
    lines, answer = list[str](), list[Row]()
    for src in sources:
        answer.append({"commit": label(src)})
        if "counts" in sections:
            answer[-1]["counts"] = count(src)
            lines += [f"## Counts of {label(src)}", "", *counts_table(answer[-1]["counts"]), ""]
        if "walks" in sections:
            answer[-1]["walks"] = walk(src)
            lines += [f"## Walks of {label(src)}", "", *walks_table(answer[-1]["walks"]), ""]
    if "times" in sections:
        found = times(sources, chosen.rounds, names)
        for index, row in enumerate(answer):
            row["times"] = {name: trees[index] for name, trees in found.items()}
        lines += ["## Times", "", f"Medians of {chosen.rounds} rounds.", "", *times_table(found, sources), ""]
    print(json.dumps(answer, indent=2) if chosen.json else "\n".join(lines))
    if chosen.out is not None:
        from side_by_side import hardware

        command = (
            f"python benchmarks/house.py {' '.join(sections)} {'--src SRC ' * len(sources)}--rounds {chosen.rounds}"
        )
        top = [
            "# What the house costs",
            "",
            f"`{command}`, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {hardware()}.",
            "",
            (__doc__ or "").split("\n\n")[2].strip().replace("``", "`"),
            "",
        ]
        chosen.out.write_text("\n".join([*top, *lines]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
