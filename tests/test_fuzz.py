"""The fuzzer of ONNX files itself: it repeats itself, tries everything it knows, and sees processes that die or hang."""

from __future__ import annotations

import os
import time
from collections import Counter
from multiprocessing.connection import Connection

import numpy as np
import pytest

from tests.fuzz.mutate import MUTATIONS, mutant
from tests.fuzz.worker import Report, reports


def test_a_number_stands_for_one_mutant() -> None:
    assert [mutant(3, n) for n in range(40)] == [mutant(3, n) for n in range(40)]
    assert mutant(3, 7).data != mutant(4, 7).data


def test_every_mutation_is_tried() -> None:
    tried = Counter(name for n in range(600) for name in mutant(1, n).history[1:])
    assert not {mutation.__name__ for _, mutation in MUTATIONS} - set(tried) and "damaged" in tried


def dying_and_hanging(seed: int, numbers: range, connection: Connection) -> None:
    """Dies of the second mutant, of the third in ONNX Runtime, and hangs at the fourth."""
    for number in numbers:
        connection.send(("made", ("seed", f"mutation {number}")))
        connection.send(("stage", "ONNX Runtime" if number == 2 else "run"))
        if number in (1, 2):
            os._exit(11)
        if number == 3:
            time.sleep(60)
        connection.send(("report", Report(number, "agreed", "", ())))
    connection.send(None)


@pytest.mark.peers
def test_what_becomes_of_the_process_is_seen() -> None:
    found = list(reports(1, range(4), dying_and_hanging, seconds=1))
    assert [(r.number, r.kind) for r in found] == [(0, "agreed"), (1, "failed"), (2, "alone"), (3, "failed")]
    assert [r.history for r in found[1:]] == [("seed", f"mutation {n}") for n in (1, 2, 3)]
    assert found[1].said == "run: the process ended with 11" and found[3].said == "run: nothing for 1 s"


@pytest.mark.peers
def test_differences_are_seen() -> None:
    from tests.fuzz.judge import disagreement

    right = np.array([1.0, -2.0, np.nan, np.inf])
    assert disagreement([right + 1e-6], [right]) is None
    for wrong, said in (
        (right * [1, 1.0001, 1, 1], "1 of 4 elements, such as -2.0002 for -2"),
        (np.array([1.0, -2.0, 0.0, np.inf]), "other elements are not finite"),
        (np.array([1.0, np.nan, np.nan, np.inf]), "other elements are not finite"),
        (np.array([1.0, -2.0, np.nan, -np.inf]), "other elements are not finite"),
        (right[:3], "output 0 has shape (3,) instead of (4,)"),
    ):
        assert said in (disagreement([wrong], [right]) or "")
