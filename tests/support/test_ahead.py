"""What work will take is said in four lines, or in one; steps that are measured end after a few."""

import time

import pytest
import torch

from modelstitch.support.ahead import TIMED, WARM, Ahead, first_steps

TOLD = Ahead("3 maps to fit", "2 passes", 12_000_000, "the rest", 600.0, more=("The results would be in x.",))


def test_it_is_said_in_lines_for_who_asks_and_in_one_before_the_work():
    assert TOLD.sentences() == [
        "3 maps to fit. Nothing was kept or written.",
        "2 passes.",
        "Memory: up to 12.0 MB, beside the rest.",
        "Time: about 10 minutes here, estimated from measured batches.",
        "The results would be in x.",
    ]
    assert TOLD.line() == (
        "To run: 3 maps to fit; 2 passes; memory up to 12.0 MB, beside the rest; about 10 minutes here."
    )
    assert TOLD.plain() == {"what": "3 maps to fit", "passes": "2 passes", "memory": 12_000_000, "seconds": 600.0}


@pytest.mark.parametrize("steps", [1, 2, 3, WARM + TIMED, 10**9])
def test_a_few_steps_are_measured_and_the_work_ends(monkeypatch, steps):
    now, taken = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work(stepped):
        now[0] += 10  # before the first step
        for step in range(steps):
            taken.append(step)
            now[0] += 3 if step < WARM else 2
            try:
                stepped()
            except Exception:  # what the work itself forgives stops no measurement
                pytest.fail("it was caught")

    first, each, _ = first_steps(work)
    assert first == 13
    assert len(taken) <= 1 + WARM + TIMED
    assert each == {1: 13, 2: 3}.get(steps, 2)


def test_what_the_work_raises_is_raised():
    with pytest.raises(ValueError, match="no work"):
        first_steps(lambda stepped: (_ for _ in ()).throw(ValueError("no work")).__next__())


def test_memory_of_steps_is_what_their_tensors_hold_together():
    def work(stepped):
        kept = torch.ones(1000)  # 4,000 bytes
        for _ in range(3):
            kept = kept + 1  # beside the one before it
            stepped()

    assert first_steps(work).memory == 8_000
