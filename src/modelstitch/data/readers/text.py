"""Text as data: a plain file cut into chunks, or a column of a table, by a network's own tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from ...errors import DataError
from ..data import IGNORED, Data
from ..subsets import FIXED_SEED, Tokens, hold_out
from ..tasks import Retrieval, Task
from .source import parted
from .tables import SUFFIXES, read_labels, read_numbers, read_table, read_texts
from .tokenizer import LENGTH, TextFacts, Tokenizer

TASKS = ("causal-lm", "masked-lm", "text-classification", "features")
_OPTIONS = ("column", "label", "gallery", "length", "task", "tokenizer")
_MASKED = 0.15  # of the tokens, as in BERT
_PARTS = {"fit": ("train", "fit"), "val": ("validation", "valid", "val"), "test": ("test",)}


@dataclass(frozen=True)
class _TokenRows:
    """Texts of one part of the source as tokens, with the labels of a column where there is one."""

    bodies: list[list[int]]
    labels: Tensor | None
    cut: int  # texts that were longer than a sample
    gallery: list[list[int]] | None = None  # what belongs to each, where there is a column of it

    def joined(self, more: _TokenRows) -> _TokenRows:
        both = [part for part in (self.labels, more.labels) if part is not None]
        beside = None if self.gallery is None or more.gallery is None else [*self.gallery, *more.gallery]
        return _TokenRows([*self.bodies, *more.bodies], torch.cat(both) if both else None, self.cut + more.cut, beside)


_SplitRows: TypeAlias = tuple[dict[str, _TokenRows], list[str] | None]  # of each split, and the names of classes


def load_text(
    spec: str,
    tokenizer: str | Path | Tokenizer | None,
    length: int | None,
    *,
    features: bool = False,
    task: Task | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Data:
    """``FILE.txt``, ``FILE.parquet?column=text&label=label`` (also .csv, .tsv, .jsonl), or a folder of such tables.

    A plain file is cut into chunks of ``length`` tokens; each row of a table is one sample, cut or padded to it.
    Samples carry ``input_ids`` and ``attention_mask``, int64 (n, length). Labels are the next tokens (n, length), for
    ``task=masked-lm`` the tokens hidden behind the mask token, for ``task=features`` none, else the label column (n,);
    -100 marks what does not count. Where the task is one of numbers (regression, multi-label) ``&label=a,b`` are
    columns of numbers; of retrieval ``&label=`` are ids, or ``&gallery=`` is the column of the texts that belong to
    those of ``column``, all of which are searched.

    A folder holds train*, test* and perhaps val* tables. Elsewhere one sample in five is held out to test (the same
    whatever the seed) and one in ten of the rest for validation. Equal samples stay in one split.

    Args:
        tokenizer: a folder or a tokenizer; ``?tokenizer=FOLDER`` in the spec goes before it.
        length: tokens of a sample; ``?length=`` in the spec goes before it.
        features: a text whose spec names no task needs no labels.
        task: what labels mean, where it was said.

    Raises:
        DataError: if the file, a column or an option cannot be used; rows without text are counted.
        SourceError: if there is no tokenizer.
    """
    path, options = parted(spec, _OPTIONS, "text")
    root = Path(path)
    if not root.exists():
        raise DataError(f"The text {path!r} cannot be read: No such file or directory; expected one of text or tables.")
    reader = _tokenizer(path, options.get("tokenizer") or tokenizer)
    size = _number(options.get("length")) or length or LENGTH
    columns = _Columns.of(options, task)
    form = _form(options.get("task"), columns, features, task)
    builder = _Builder(reader, size, form)
    parts, classes = (_read_folder if root.is_dir() else _read_file)(root, columns, builder)
    search = _searched(parts, builder, task)
    sets = {split: builder.samples(rows) for split, rows in parts.items()}
    splits, rule = _split(sets, seed, limit, root.name)
    what = "rows" if root.is_dir() or root.suffix in SUFFIXES else "chunks"
    return Data(
        *splits,
        name=root.name + (f"[limit {limit}]" if limit is not None else ""),
        classes=classes,
        n_classes=None if classes or columns.labels or search else max(reader.vocabulary.values()) + 1,
        split_rule=f"{what} of {builder.told(parts.values())}; {rule}",
        text=TextFacts(reader, form, size),
        task=search or task,
    )


@dataclass(frozen=True)
class _Columns:
    """Which columns of a table are read.

    Attributes:
        text: the texts.
        labels: the labels; several are numbers.
        gallery: the texts that belong to them, which are searched.
        numbers: labels are numbers as they stand, no classes.
    """

    text: str
    labels: tuple[str, ...]
    gallery: str | None
    numbers: bool

    @classmethod
    def of(cls, options: Mapping[str, str], task: Task | None) -> _Columns:
        labels = tuple(options["label"].split(",")) if "label" in options else ()
        numbers = task is not None and not task.by_class and not isinstance(task, Retrieval)
        gallery = options.get("gallery")
        if len(labels) > 1 and not numbers:
            raise DataError(
                f"The labels {', '.join(labels)} are several: expected one column of classes, or a task of several "
                "numbers, such as multi-label (task=, on the command line --task)."
            )
        if gallery is not None and (labels or not isinstance(task, Retrieval)):
            raise DataError(
                f"The column {gallery!r} is a gallery: expected the task retrieval (task=, on the command line --task) "
                "and no label column, since each text belongs to that of its row."
            )
        return cls(options.get("column", "text"), labels, gallery, numbers)

    @property
    def all(self) -> list[str]:
        """Their names."""
        return [self.text, *self.labels, *([self.gallery] if self.gallery else [])]


_FORMS = {"next-token": TASKS[0], "masked-token": TASKS[1], "embedding": TASKS[3], "retrieval": TASKS[3]}


def _tokenizer(path: str, words: str | Path | Tokenizer | None) -> Tokenizer:
    """The tokenizer that is given, or that a folder holds."""
    if words is None:
        raise DataError(
            f"The text {path!r} needs a tokenizer: expected '?tokenizer=FOLDER' or load_data(..., tokenizer=network)."
        )
    return words if isinstance(words, Tokenizer) else Tokenizer.load(words)


def _form(named: str | None, columns: _Columns, features: bool, task: Task | None) -> str:
    """The form of samples that is named, or follows from the task and the columns."""
    labelled = bool(columns.labels)
    wanted = None if task is None else _FORMS.get(task.name, TASKS[2])
    form = named or wanted or (TASKS[2] if labelled else TASKS[3] if features else TASKS[0])
    if task is not None and form != wanted:
        raise DataError(f"The task {task.name!r} is none of texts of {form!r}: expected '?task={wanted}'.")
    if isinstance(task, Retrieval) and form == TASKS[3]:
        if not labelled and columns.gallery is None:
            raise DataError(
                "Texts to retrieve need to know what belongs to them: expected '&gallery=' with a column of texts, or "
                "'&label=' with one of ids."
            )
    elif form not in TASKS or (form == TASKS[2]) != labelled:
        raise DataError(
            f"The task {form!r} with label {','.join(columns.labels) or None!r} cannot be: expected {TASKS[0]}, "
            f"{TASKS[1]} or {TASKS[3]} without a label column, or {TASKS[2]} with one."
        )
    return form


def _searched(parts: dict[str, _TokenRows], builder: _Builder, task: Task | None) -> Retrieval | None:
    """Retrieval among the texts of the gallery's column, each once; rows get the ids of theirs."""
    found: dict[tuple[int, ...], int] = {}
    if not isinstance(task, Retrieval) or any(rows.gallery is None for rows in parts.values()):
        return None
    for split, rows in parts.items():
        ids = [found.setdefault(tuple(body), len(found)) for body in rows.gallery or ()]
        parts[split] = replace(rows, labels=torch.tensor(ids))
    items = builder.samples(_TokenRows([list(body) for body in found], torch.arange(len(found)), 0))
    return Retrieval.of(items.inputs, items.labels, k=task.k)


class _Builder:
    """From tokens to samples of one length."""

    def __init__(self, tokenizer: Tokenizer, length: int, task: str) -> None:
        self.tokenizer, self.length, self.task = tokenizer, length, task
        self.before, self.after = tokenizer.before, ([] if task == "causal-lm" else tokenizer.after)
        if task == "masked-lm" and "mask" not in tokenizer.special:
            raise DataError(f"The tokenizer {tokenizer.name!r} has no mask token: expected one for the task masked-lm.")
        self.room = length - len(self.before) - len(self.after)
        if self.room < 2:
            raise DataError(
                f"A sample of {length} tokens is too short: expected room for two beside the special tokens."
            )

    def rows(self, texts: Sequence[str], labels: Tensor | None, where: str) -> _TokenRows:
        """One sample a text."""
        bodies = self.tokenizer.encode(texts)
        least = 2 if self.task == "causal-lm" and not self.before else 1
        short = [i for i, ids in enumerate(bodies) if len(ids) < least]
        if short:
            raise DataError(
                f"{len(short)} of {len(bodies)} texts of {where} are shorter than {least} tokens, the first is row "
                f"{short[0]}: remove them; none is dropped silently."
            )
        cut = sum(len(ids) > self.room for ids in bodies)
        return _TokenRows([ids[: self.room] for ids in bodies], labels, cut)

    def chunks(self, text: str) -> _TokenRows:
        """The tokens of a whole text in order, cut into samples; the last may be shorter, but holds two at least."""
        (ids,) = self.tokenizer.encode([text])
        return _TokenRows([ids[start : start + self.room] for start in range(0, len(ids) - 1, self.room)], None, 0)

    def told(self, parts: Collection[_TokenRows]) -> str:
        """How samples were made of texts, in words."""
        cut, total = sum(rows.cut for rows in parts), sum(len(rows.bodies) for rows in parts)
        words = f"at most {self.length} tokens by the tokenizer {self.tokenizer.name} ({self.tokenizer.fingerprint})"
        words += f", {cut} of {total} cut to that length" if cut else ""
        return words + (f", {_MASKED:.0%} of the tokens hidden" if self.task == "masked-lm" else "")

    def samples(self, rows: _TokenRows) -> Tokens:
        """Padded ids and masks with the labels of the task."""
        n, (head, tail) = len(rows.bodies), (self.before, self.after)
        ids = torch.full((n, self.length), self.tokenizer.pad)
        mask, inner = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for i, body in enumerate(rows.bodies):
            whole = [*head, *body, *tail]
            ids[i, : len(whole)] = torch.tensor(whole)
            mask[i, : len(whole)] = 1
            inner[i, len(head) : len(head) + len(body)] = True
        if rows.labels is not None:
            return Tokens(ids, mask, rows.labels)
        if self.task == "masked-lm":
            hidden = _hide(inner)
            labels = torch.where(hidden, ids, IGNORED)
            return Tokens(torch.where(hidden, self.tokenizer.special["mask"], ids), mask, labels)
        labels = torch.full_like(ids, IGNORED)
        if self.task == "features":
            return Tokens(ids, mask, labels)
        labels[:, :-1] = torch.where(mask[:, 1:].bool(), ids[:, 1:], IGNORED)
        return Tokens(ids, mask, labels)


def _hide(inner: Tensor) -> Tensor:
    """Which of the true positions (n, t) are hidden: the same share of every sample, one at least."""
    generator = torch.Generator().manual_seed(FIXED_SEED)
    order = torch.rand(inner.shape, generator=generator).masked_fill(~inner, 2.0).argsort(1).argsort(1)
    count = (inner.sum(1) * _MASKED).ceil().long()
    return (order < count[:, None]) & inner


def _split(
    sets: dict[str, Tokens], seed: int, limit: int | None, name: str
) -> tuple[tuple[Tokens, Tokens, Tokens], str]:
    train = sets["fit"]
    if len(train) < 10:
        raise DataError(
            f"The text {name!r} gives {len(train)} samples: expected 10 at least; give more text or a smaller length."
        )
    if "test" in sets:
        test, rule = sets["test"], "the source's own test table"
    else:
        kept, held = _hold_out(train, max(1, len(train) // 5), FIXED_SEED)
        train, test, rule = train.picked(kept), train.picked(held), "a fixed test split of one in five"
    if limit is not None:
        train, test = (part.picked(_spread(part, limit)) for part in (train, test))
    if "val" in sets:
        val, rule = sets["val"], f"{rule}, its own validation table"
    else:
        kept, held = _hold_out(train, max(1, len(train) // 10), seed)
        train, val, rule = (
            train.picked(kept),
            train.picked(held),
            f"{rule}, one in ten of the rest for validation (seed {seed})",
        )
    seen = {row.tobytes() for row in train.ids.numpy()}
    again = sum(row.tobytes() in seen for row in test.ids.numpy())
    if again:  # only where the source itself has its test table
        rule += f"; {again} of {len(test)} test samples are also among those to fit on"
    return (train, val, test), rule


def _hold_out(samples: Tokens, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, held out): about ``n`` samples, balanced over classes; equal ones on the same side."""
    _, group = torch.unique(samples.ids, dim=0, return_inverse=True)
    groups = int(group.max()) + 1
    if groups < 3:
        raise DataError(f"The text has {groups} different samples: expected more, to fit, choose and test on.")
    first = torch.full((groups,), len(group)).scatter_reduce(0, group, torch.arange(len(group)), "amin")
    order = first.sort().values  # groups in the order in which they come
    _, held = hold_out(samples.labels[order], max(1, min(n * groups // len(group), groups - 1)), seed)
    out = torch.isin(group, group[order[held]])
    return (~out).nonzero().flatten(), out.nonzero().flatten()


def _spread(samples: Tokens, limit: int) -> Tensor:
    return hold_out(samples.labels, min(limit, len(samples)), FIXED_SEED)[1]


def _read_file(path: Path, columns: _Columns, builder: _Builder) -> _SplitRows:
    if path.suffix in SUFFIXES:
        return _read_tables([("fit", path)], columns, builder)
    if columns.labels or columns.gallery:
        raise DataError(f"The plain text {path.name!r} has no label column: expected one of {', '.join(SUFFIXES)}.")
    if path.exists() and not path.is_file():
        raise DataError(f"The text {str(path)!r} is no file: expected one in UTF-8.")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"The text {str(path)!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"The text {str(path)!r} is not UTF-8 (byte {error.start:,} is {error.object[error.start]:#04x}): save "
            f"it as UTF-8."
        ) from error
    return {"fit": builder.chunks(text)}, None


def _read_folder(root: Path, columns: _Columns, builder: _Builder) -> _SplitRows:
    files = {
        split: [p for name in names for p in sorted(root.iterdir()) if p.suffix in SUFFIXES and p.name.startswith(name)]
        for split, names in _PARTS.items()
    }
    if not files["fit"] or not files["test"]:
        raise DataError(
            f"The folder {str(root)!r} has no train and test tables: expected files such as train.csv and test.csv, "
            f"found {', '.join(sorted(p.name for p in root.iterdir())[:5]) or 'nothing'}."
        )
    return _read_tables([(split, path) for split, paths in files.items() for path in paths], columns, builder)


def _read_tables(tables: Sequence[tuple[str, Path]], columns: _Columns, builder: _Builder) -> _SplitRows:
    """The rows of each split, of the tables that belong to it."""
    frames = [(split, path, read_table(path, columns.all)) for split, path in tables]
    labels: list[Tensor] | None = None
    classes = None
    if columns.numbers and columns.labels:
        labels = [read_numbers(frame, columns.labels, path) for _, path, frame in frames]
    elif columns.labels:
        labels, classes = read_labels([(frame[columns.labels[0]], path) for _, path, frame in frames])
    parts: dict[str, _TokenRows] = {}
    for i, (split, path, frame) in enumerate(frames):
        rows = builder.rows(read_texts(frame, columns.text, path), labels[i] if labels else None, path.name)
        if columns.gallery:
            beside = builder.rows(read_texts(frame, columns.gallery, path), None, path.name)
            rows = replace(rows, gallery=beside.bodies, cut=rows.cut + beside.cut)
        parts[split] = parts[split].joined(rows) if split in parts else rows
    return parts, classes


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise DataError(f"The length {text!r} cannot be used: expected a number of tokens.")
    return int(text)
