"""Data: three disjoint splits of (input, label), handed out in batches whose samples carry an id."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..network import Network
from ..support.ambient import in_settled
from ..support.hashing import Hash
from ..support.kinds import kinds
from ..support.shown import table
from .batch import MASK, Augment, Batch, all_labels, check_mask, chunks, fetch, hash_samples
from .given import splits_of
from .labels import IGNORED as IGNORED
from .labels import MOST_CLASSES
from .pairs import Keys
from .readers.hub import settle
from .readers.tokenizer import TextFacts
from .subsets import Picked, Relabelled, balanced_order, few, placed
from .tasks import CLASSIFICATION, NEXT_TOKEN, Task, inferred, metric_of, task_of
from .tasks.task import Split as Split

SPLITS: tuple[Split, ...] = ("fit", "val", "test")


class Data:
    """Hold three disjoint splits: ``fit`` to fit on, ``val`` to choose with, ``test`` to measure on, once.

    Args:
        fit: map-style datasets of (input, label), arrays (inputs, labels) of a whole split, sets of the library
            ``datasets``, datasets of dicts, or a DataLoader that gives all samples in order. An input is a tensor, or a
            dict or a tuple of tensors. uint8 inputs that are one tensor are delivered as float32 in [0, 1].
        val: the same for validation.
        test: the same for the test split, which is read once.
        name: the name of the data in records.
        classes: the names of the classes, in label order.
        n_classes: the number of classes, if they have no names; by default counted from the labels of all splits.
        augment: a random change of the raw fit inputs, which ``batches(..., augment=True)`` applies.
        split_rule: how the splits were made, in words.
        fingerprint: a hash of the content, if a loader knows it without reading every sample.
        test_fingerprint: the same for the test split alone.
        text: for text, the tokenizer that made the samples, and the task.
        mask: for samples that are dicts, the key of the mask (n, positions), 1 or True where a padded sequence holds
            something. Padding enters no moment, loss or distance.
        input_key: for samples that are dicts, the key of the input, or several keys for an input that is a dict. By
            default the one key beside the label, or all keys if ``input_ids`` is among them.
        label_key: the key of the label; by default the one with a usual name, such as ``label``.
        notes: sentences to print beside every number on these data.
        task: what a label is and what an error of one sample is: "classification", "next-token",
            "masked-token", "regression", "multi-label", "dense", "embedding" (no labels: splits may be inputs alone),
            "retrieval" (the top's own vectors of the fit split are the gallery; "retrieval:5" looks at the first five),
            or a ``modelstitch.Task``; by default a class, or where labels are (n, t) a class for each position.

    Raises:
        DataError: if a split is empty, two splits have samples in common (as far as ``Subset``s of one dataset show
            it), there is only one class, or a label is out of range; some of it only when a batch is read.

    Examples:
        >>> x, y = torch.randn(30, 4), torch.arange(30) % 2
        >>> mine = ms.Data((x[:20], y[:20]), (x[20:25], y[20:25]), (x[25:], y[25:]), name="mine")
        >>> mine.size("fit"), mine.n_classes, mine.sample_shape
        (20, 2, (4,))
    """

    @kinds("task", "input_key", "classes", settled=True)
    def __init__(
        self,
        fit: Any,
        val: Any,
        test: Any,
        *,
        name: str = "data",
        classes: Sequence[str] | None = None,
        n_classes: int | None = None,
        augment: Augment | None = None,
        split_rule: str = "given by the caller",
        fingerprint: str | None = None,
        test_fingerprint: str | None = None,
        text: TextFacts | None = None,
        mask: str = MASK,
        input_key: Keys | None = None,
        label_key: str | None = None,
        notes: Sequence[str] = (),
        task: str | Task | None = None,
    ) -> None:
        self.name = name
        self._task = task_of(task)
        self.notes = tuple(notes)
        self.mask = mask
        self.text = text
        self.classes = tuple(classes) if classes is not None else None
        self.augment = augment
        self.split_rule = split_rule
        self._splits = splits_of(
            {"fit": fit, "val": val, "test": test},
            name,
            input_key=input_key,
            label_key=label_key,
            classes=self.classes,
            labelled=self._task is None or self._task.needs_labels,
        )
        names = settle(self._splits.values())
        self.classes = names if self.classes is None else self.classes
        self._fingerprint, self._test_fingerprint = fingerprint, test_fingerprint
        self._alike: Data | None = None  # other data with this very test split: it is read once for both
        self._n_classes = len(self.classes) if self.classes is not None else n_classes
        if self._n_classes is not None and not 1 < self._n_classes <= MOST_CLASSES:
            raise DataError(
                f"{name} has {self._n_classes:,} classes: expected 2 to {MOST_CLASSES:,}; check classes= or n_classes=."
            )
        if augment is not None and not (callable(augment) and isinstance(getattr(augment, "recipe", None), str)):
            raise DataError(
                f"The augmentation {augment!r:.80} has no recipe: expected a function of (inputs, generator), a batch "
                "and a torch.Generator, with an attribute recipe that says in words what it does."
            )
        for split in SPLITS:
            labels = all_labels(self._splits[split], scan=False)
            if labels is not None:
                self._check_labels(labels, split)

    @cached_property
    def task(self) -> Task:
        """What a label is, and what an error of one sample is."""
        if self._task is not None:
            return self._task
        return inferred(fetch(self._splits["val"], torch.tensor([0]))[1].ndim)

    @cached_property
    def n_classes(self) -> int:
        """The number of classes, or of whatever a head has to give for the task.

        It is as given, else of classes one more than the largest label of any split, since fit may lack one.
        """
        if self._n_classes is not None:
            return self._n_classes
        return self.task.outputs(self._all_labels())

    def _all_labels(self) -> Iterator[Tensor]:
        """The labels of all splits, a whole split at once where each is one number, else batch by batch."""
        for split in SPLITS:
            if self.task.by_class or self.task.by_position:
                self._check_labels(labels := self.labels(split), split)
                yield labels
            else:
                yield from (batch.labels for batch in self.batches(split, 64))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all samples, labels and their order, in hex; the same in every run.

        The name of a mask counts, too.
        """
        if self._fingerprint is not None and self.mask == MASK:
            return self._fingerprint
        digest = Hash("" if self.mask == MASK else f"mask {self.mask} ")
        if self._fingerprint is not None:
            digest.add(self._fingerprint)
            return digest.hex()
        for split in SPLITS:
            digest.add(f"{split} {self.size(split)} ")
            hash_samples(self._splits[split], digest)
        return digest.hex()

    @cached_property
    def test_fingerprint(self) -> str:
        """A hash of the test split, in hex: equal for data that are measured on the same samples.

        Where only the whole data's identity is known it stands for the test split.
        """
        if self._alike is not None:
            return self._alike.test_fingerprint
        given = self._test_fingerprint or self._fingerprint
        if given is not None:
            return given
        digest = Hash("test")
        hash_samples(self._splits["test"], digest)
        return digest.hex()

    @property
    def sample_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample's input, (tokens,) for text.

        It is None where inputs are no tensor and no text.
        """
        inputs, _ = fetch(self._splits["val"], torch.tensor([0]))
        if isinstance(inputs, dict):
            inputs = inputs.get("input_ids")
        return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else None

    def size(self, split: Split) -> int:
        """Count the samples of a split.

        Args:
            split: "fit", "val" or "test".

        Returns:
            How many there are.

        Examples:
            >>> data.size("test") > 0
            True
        """
        return len(self.dataset(split))

    def dataset(self, split: Split) -> Any:
        """Give the map-style dataset behind a split.

        Args:
            split: "fit", "val" or "test".

        Returns:
            The dataset, of pairs of input and label.

        Raises:
            DataError: there is no such split.

        Examples:
            >>> len(data.dataset("val")) == data.size("val")
            True
        """
        if not isinstance(split, str) or split not in self._splits:
            raise DataError(f"There is no split {split!r}: expected 'fit', 'val' or 'test'.")
        return self._splits[split]

    @in_settled
    def labels(self, split: Split) -> Tensor:
        """Give all labels of a split as the task reads them.

        A dataset that does not know them is read once.

        Args:
            split: "fit", "val" or "test".

        Returns:
            int64 (n,) of classes, (n, t) of sequences, else (n, ...).

        Examples:
            >>> data.labels("val").shape[0] == data.size("val")
            True
        """
        labels = all_labels(self.dataset(split), scan=True)
        assert labels is not None
        return self._read(labels, split)

    @kinds("split")
    def batches(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int | None = None,
        augment: bool = False,
        limit: int | None = None,
        drop_last: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """Iterate over a split in batches, each sample once.

        Args:
            split: "fit", "val" or "test".
            batch_size: samples a batch; the last may be smaller.
            seed: None keeps the order; a number shuffles by a private generator.
            augment: apply the data's augmentation (fit only); its draws follow from ``seed`` too.
            limit: stop after so many samples.
            drop_last: leave out a last batch that is not full.
            share: (i, n) gives every n-th batch from number i on. The others are not read, unless the augmentation
                draws from batch to batch.

        Returns:
            Batches with ids, inputs and labels.

        Raises:
            DataError: if the split is unknown, a number is not positive, or a sample cannot be used.

        Examples:
            >>> [len(batch) for batch in data.batches("fit", 100, limit=250)]
            [100, 100, 50]
        """
        dataset = self.dataset(split)
        if batch_size < 1 or (limit is not None and limit < 1):
            raise DataError(f"batch_size and limit must be 1 or more, found {batch_size} and {limit}.")
        if augment and split != "fit":
            raise DataError(f"Only the fit split is augmented, found augment=True on {split!r}.")
        return self._pass(dataset, split, batch_size, seed, augment, limit, drop_last, share)

    @in_settled
    def few(self, split: Split, n: int, batch_size: int = 256) -> Iterator[Batch]:
        """Iterate over a few samples that represent a split, the same ones in every run.

        Args:
            split: "fit", "val" or "test".
            n: at most so many samples.
            batch_size: samples a batch.

        Returns:
            Batches, whose samples are chosen as ``modelstitch.data.subsets.few`` does.

        Examples:
            >>> sum(len(batch) for batch in data.few("test", 20))
            20
        """
        dataset = self.dataset(split)
        ordered = self.task.by_class or self.task.by_position
        labels = all_labels(dataset, scan=False) if ordered else None
        for ids in chunks(few(labels, len(dataset), n), batch_size):
            yield self._batch(dataset, split, ids)

    @in_settled
    def chosen(self, split: Split, ids: Tensor) -> Batch:
        """Give chosen samples of a split as one batch.

        Args:
            split: "fit", "val" or "test".
            ids: of the samples, int64 (n,).

        Returns:
            The batch, in that order.

        Examples:
            >>> data.chosen("val", torch.tensor([3, 1])).ids.tolist()
            [3, 1]
        """
        return self._batch(self.dataset(split), split, ids)

    def _batch(self, dataset: Any, split: Split, ids: Tensor) -> Batch:
        inputs, labels = fetch(dataset, ids)
        labels = self._read(labels, split, whole=False)
        check_mask(inputs, self.mask)
        return Batch(ids, inputs, labels, self.mask)

    @in_settled
    def _pass(
        self,
        dataset: Any,
        split: Split,
        batch_size: int,
        seed: int | None,
        augment: bool,
        limit: int | None,
        drop_last: bool,
        share: tuple[int, int],
    ) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(0 if seed is None else seed)
        n = len(dataset)
        order = torch.arange(n) if seed is None else torch.randperm(n, generator=generator)
        if limit is not None:
            order = order[:limit]
        change = self.augment if augment else None
        for at, ids in enumerate(chunks(order, batch_size)):
            if drop_last and len(ids) < batch_size:
                return
            ours = at % share[1] == share[0]
            if not ours and change is None:
                continue
            batch = self._batch(dataset, split, ids)
            if change is not None:
                batch = replace(batch, inputs=change(batch.inputs, generator))
            if ours:
                yield batch

    @kinds(settled=True)
    def subset(self, n_fit: int, *, seed: int | None = None, part: int = 0) -> Data:
        """Give the same data with fewer samples to fit on; val and test stay.

        Args:
            n_fit: how many samples.
            seed: None takes the first ones (as the paper does); a number draws them, class-balanced.
            part: which of the disjoint subsets of that size (0 is the first, 1 the next ones, ...).

        Returns:
            New data, which share the samples.

        Raises:
            DataError: if there are not as many.

        Examples:
            >>> data.subset(100, seed=0).size("fit")
            100
        """
        n, start = self.size("fit"), part * n_fit
        if n_fit < 1 or part < 0 or start + n_fit > n:
            raise DataError(
                f"A subset of {n_fit} samples (part {part}) is more than the {n} fit samples of {self.name} "
                "hold: ask for fewer, or for an earlier part."
            )
        by_class = self.task.by_class
        labels = self.labels("fit") if by_class and seed is not None else torch.zeros(n, dtype=torch.int64)
        order = torch.arange(n) if seed is None else balanced_order(labels, seed)
        drawn = "class-balanced draw" if by_class else "draw"
        how = "the first" if seed is None else f"{drawn} with seed {seed},"
        picked = Picked(self._splits["fit"], order[start : start + n_fit])
        rule = f"fit: {how} {n_fit} of {n}, part {part}"
        return self._with({"fit": picked}, rule, name=f"{self.name}[{n_fit}]")

    def picked(self, ids: Tensor) -> Data:
        """Give the same data with some samples to fit on, by their places; val and test stay.

        Args:
            ids: int64 (n,), places in the fit split, in the order in which they are to come.

        Returns:
            New data, which share the samples.

        Raises:
            DataError: if there are none, or one is no place of the split.

        Examples:
            >>> data.picked(torch.tensor([7, 3])).size("fit")
            2
        """
        n = self.size("fit")
        if not len(ids) or int(ids.min()) < 0 or int(ids.max()) >= n:
            raise DataError(
                f"{len(ids)} places are no choice among the {n} fit samples of {self.name}: expected one or more, each "
                f"from 0 to {n - 1}."
            )
        twin = copy.copy(self)  # its labels are not asked for: few samples may be of one class
        twin.__dict__.pop("fingerprint", None)
        twin._fingerprint, twin._alike, twin._n_classes = None, self, self._counted
        twin._splits = {**self._splits, "fit": Picked(self._splits["fit"], ids)}
        twin.name, twin.split_rule = f"{self.name}[{len(ids)}]", f"{self.split_rule}; fit: {len(ids)} of {n}, chosen"
        return twin

    @kinds()
    def shorter(self, *, val: int | None = None, test: int | None = None) -> Data:
        """Give the same data with only the first samples to choose and to measure on.

        Args:
            val: how many samples of the validation split; None keeps all.
            test: how many samples of the test split; None keeps all.

        Returns:
            New data, which share the samples; these data where nothing is left out.

        Raises:
            DataError: if a size is below 1.

        Examples:
            >>> data.shorter(test=50).size("test")
            50
        """
        sizes: dict[Split, int | None] = {"val": val, "test": test}
        if any(n is not None and n < 1 for n in sizes.values()):
            raise DataError(f"A split needs 1 sample or more, found val={val} and test={test}.")
        short = {split: n for split, n in sizes.items() if n is not None and n < len(self._splits[split])}
        if not short:
            return self
        rule = "; ".join(f"{split}: the first {n}" for split, n in short.items())
        return self._with({split: Picked(self._splits[split], torch.arange(n)) for split, n in short.items()}, rule)

    def on(self, device: torch.device | str) -> Data:
        """Hold images that lie in memory on a GPU, where they take little of it.

        What is drawn and delivered stays the same; where nothing is gained (a CPU, files, text) it is this object
        itself.

        Args:
            device: where the networks run.

        Returns:
            The data, of which images lie there.

        Examples:
            >>> data.on("cpu") is data
            True
        """
        where = torch.empty(0, device=device).device  # with its number, where there are several
        splits = {split: placed(dataset, where) for split, dataset in self._splits.items()}
        if all(splits[split] is dataset for split, dataset in self._splits.items()):
            return self
        twin = copy.copy(self)
        twin._splits = splits
        return twin

    @in_settled
    def relabelled(self, labels: dict[Split, Tensor], *, name: str, classes: Sequence[str]) -> Data:
        """Give the same inputs with other labels.

        Args:
            labels: int64 (n,) for each split that gets others; the rest keep theirs.
            name: of the new data.
            classes: the names of the new classes, in label order.

        Returns:
            New data, which share the inputs.

        Examples:
            >>> odd = {split: data.labels(split) % 2 for split in ("fit", "val", "test")}
            >>> data.relabelled(odd, name="odd", classes=["even", "odd"]).n_classes
            2
        """
        changed = {split: Relabelled(self._splits[split], found) for split, found in labels.items()}
        return self._with(changed, f"labels: {name}", name=name, classes=classes, relabelled=CLASSIFICATION)

    @property
    def _counted(self) -> int | None:
        """The number of classes, where it is counted from labels that data of fewer samples may lack."""
        return self.n_classes if self.task.by_class or self.task.by_position else self._n_classes

    def _with(
        self,
        changed: Mapping[Split, Any],
        rule: str,
        *,
        name: str | None = None,
        classes: Sequence[str] | None = None,
        relabelled: Task | None = None,
    ) -> Data:
        """The same data with other datasets behind some splits; ``rule`` says which."""
        classes = self.classes if classes is None else classes
        found = Data(
            *(changed.get(split, self._splits[split]) for split in SPLITS),
            name=self.name if name is None else name,
            classes=classes,
            n_classes=self._counted if classes is None else None,
            augment=self.augment,
            split_rule=f"{self.split_rule}; {rule}",
            text=self.text,
            mask=self.mask,
            notes=self.notes,
            task=self._task if relabelled is None else relabelled,
        )
        found._alike = None if "test" in changed else self
        return found

    def measured_by(self, metric: Any) -> Data:
        """Give the same data, whose errors another metric gives.

        Args:
            metric: a function (output, labels) -> (n,), one number for each sample, smaller is better; a
                ``modelstitch.Task``, whose error it is; or the name of a row of ``modelstitch.data.tasks.METRICS``.

        Returns:
            Data that share the samples and all that is known of them.

        Raises:
            StitchError: if it is no metric.

        Examples:
            >>> halves = data.measured_by(lambda output, labels: (output.argmax(1) != labels).float() / 2)
            >>> halves.size("test") == data.size("test")
            True
        """
        return self.judged_by(self.task.measured_by(metric_of(metric)))

    def for_top(self, top: Network, device: torch.device) -> Data:
        """Give the same data with their task as it stands for one top.

        Args:
            top: the network whose error is measured.
            device: where to run it.

        Returns:
            Data that share the samples; these data where nothing of the top belongs to the task.

        Examples:
            >>> data.for_top(top, torch.device("cpu")) is data
            True
        """
        task = self.task.for_top(top, self, device)
        return self if task is self.task else self.judged_by(task)

    def judged_by(self, task: Task) -> Data:
        """Give the same data with a task that reads labels as their own does; nothing is checked.

        Args:
            task: what judges outputs.

        Returns:
            Data that share the samples and all that is known of them.

        Examples:
            >>> data.judged_by(data.task).task is data.task
            True
        """
        twin = copy.copy(self)
        twin._task = twin.task = task
        return twin

    @kinds()
    def of_task(self, task: str | Task) -> Data:
        """Give the same samples, their labels read as those of another task.

        Args:
            task: as for ``Data``.

        Returns:
            New data, which share the samples; these data where it is their task.

        Raises:
            DataError: if the task cannot take the labels, or is unknown.

        Examples:
            >>> data.of_task("classification") is data
            True
        """
        wanted = task_of(task)
        assert wanted is not None
        if wanted is self.task:
            return self
        return Data(
            *(self._splits[split] for split in SPLITS),
            name=self.name,
            classes=self.classes if wanted.has_classes == self.task.has_classes else None,
            n_classes=self._n_classes if wanted.has_classes == self.task.has_classes else None,
            augment=self.augment,
            split_rule=self.split_rule,
            text=self.text,
            mask=self.mask,
            notes=self.notes,
            fingerprint=self._fingerprint,
            test_fingerprint=self._test_fingerprint,
            task=wanted,
        )

    def describe(self) -> dict[str, Any]:
        """Say what a record states about the data, as plain values.

        Returns:
            Plain values by name.

        Examples:
            >>> data.describe()["classes"]
            10
        """
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            **{split: self.size(split) for split in SPLITS},
            "classes": self.n_classes if self.task.has_classes else None,
            "augment": self.augment.recipe if self.augment is not None else "none",
            "splits": self.split_rule,
            **({} if self.task in (CLASSIFICATION, NEXT_TOKEN) else {"task": self.task.stated()}),
        }

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split}={self.size(split)}" for split in SPLITS)
        return f"Data({self.name!r}, {sizes})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the splits, and what is known of them."""
        used = {"fit": "to fit on", "val": "to choose with", "test": "to measure on, once"}
        rows = [[split, f"{self.size(split):,}", used[split]] for split in SPLITS]
        shape = self.sample_shape
        known = [
            f"{self.n_classes} classes",
            *(["x".join(map(str, shape)) + " a sample"] if shape else []),
            f"augmentation: {self.augment.recipe if self.augment is not None else 'none'}",
        ]
        lines = [f"{', '.join(known)}. Splits: {self.split_rule}.", *self.notes]
        return table(self.name, ("split", "samples", "use"), rows, lines)

    def _check_labels(self, labels: Tensor, split: str) -> None:
        labels = self._read(labels, split)
        if split == "fit":
            self.task.check_fit(labels, f"the fit split of {self.name}")
        if split == "test":
            self.task.check_test(labels, f"the test split of {self.name}")

    def _read(self, labels: Tensor, split: str, *, whole: bool = True) -> Tensor:
        """Labels as the task reads them."""
        where = f"the {split} split of {self.name}"
        return self.task.take(labels, where, n_classes=self._n_classes, whole=whole)


def check_data(data: Any) -> None:
    """Refuse what are no data, a name above all: the command line takes names.

    Raises:
        DataError: with what was given.
    """
    if not hasattr(data, "batches"):
        shown = repr(data)[:80] if data is None or isinstance(data, str | int | float) else type(data).__name__
        raise DataError(
            f"The data are no modelstitch.Data: expected, for example, modelstitch.load_data('digits'), or datasets "
            f"of yours in modelstitch.Data(fit, val, test), found {shown}."
        )
