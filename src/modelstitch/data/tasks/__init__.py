"""What labels may mean: one file and one row of ``TASKS`` for each task."""

from __future__ import annotations

from typing import Any

from ...errors import DataError
from ...support.words import among
from .classification import CLASSIFICATION as CLASSIFICATION
from .dense import DENSE as DENSE
from .embedding import EMBEDDING as EMBEDDING
from .metrics import METRICS as METRICS
from .metrics import metric_of as metric_of
from .multi_label import MULTI_LABEL as MULTI_LABEL
from .next_token import MASKED_TOKEN as MASKED_TOKEN
from .next_token import NEXT_TOKEN as NEXT_TOKEN
from .regression import REGRESSION as REGRESSION
from .retrieval import RETRIEVAL as RETRIEVAL
from .retrieval import Retrieval as Retrieval
from .task import Task as Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (CLASSIFICATION, NEXT_TOKEN, MASKED_TOKEN, REGRESSION, MULTI_LABEL, DENSE, EMBEDDING, RETRIEVAL)
}


def task_of(given: Any) -> Task | None:
    """Give the task that is meant by a name, with an option behind a colon; a task is itself, None stays.

    Raises:
        DataError: if there is no such task, or it takes no such option.
    """
    if given is None or isinstance(given, Task):
        return given
    name, colon, option = given.partition(":") if isinstance(given, str) else (None, "", "")
    if name in TASKS:
        return TASKS[name].with_option(option) if colon else TASKS[name]
    known = among(str(name), TASKS, ", or a modelstitch.Task of your own", lead="expected ", quoted=True)
    raise DataError(f"The task {given!r:.60} is unknown: {known}")


def inferred(ndim: int) -> Task:
    """Give the task of labels of so many axes, where none is named: a class, or a class for each position."""
    return NEXT_TOKEN if ndim > 1 else CLASSIFICATION
