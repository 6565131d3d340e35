"""Rivals that are made up: how they are measured beside us, compared, refused, and what rows then say."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clconv.bench import contest as module
from clconv.bench.contest import Contestant, Settings, blank, contest, difference
from clconv.bench.machine import Use
from clconv.bench.report import MOST_DIFFERENCE, RivalRow, Row, read_json, write_csv, write_json
from clconv.bench.rivals import InferenceJob, Opponent, opponent, parse_names
from clconv.bench.roofline import Peaks
from clconv.bench.timing import Timing
from clconv.device import DeviceTraits
from clconv.errors import DataError, UnsupportedError

TRAITS = DeviceTraits.cpu(compute_units=3)
JOB: Any = InferenceJob(None, {})  # type: ignore[arg-type]


class Quiet:
    """A machine on which nothing else happens."""

    def use(self) -> Use:
        return Use()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Times, rivals' results and rivals' failures are what this says; nothing runs on a clock."""
    own: dict[str, Any] = {"seconds": [0.002], "results": {}, "failures": {}, "made": [], "manner": None}

    def measure(candidates: Any, repeats: int, *, manner: Any, step: Any) -> list[Timing]:
        own["manner"] = manner
        for candidate in candidates:
            candidate(4)
        return [Timing((seconds,) * repeats, 1) for seconds in own["seconds"][: len(candidates)]]

    def made_up(name: str, job: Any, threads: int) -> Opponent:
        if name in own["failures"]:
            raise own["failures"][name]
        calls = own["made"]
        calls.append([name, threads, 0])
        place = len(calls) - 1

        def run() -> None:
            calls[place][2] += 1

        return Opponent(name, "1.0", "made up", run, lambda: own["results"][name])

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "opponent", made_up)
    monkeypatch.setattr(module, "Watch", Quiet)
    return own


def ours(**more: Any) -> Contestant:
    return Contestant("compiled", "", lambda n: None, lambda: [np.array([1.0, 2.0])], 3, 0.5, 7, 1e6, 2e6, **more)


def row_of(stage: dict[str, Any], *against: str, **more: Any) -> Row:
    settings = Settings(against=against, peaks=Peaks(10.0, 10.0), **more)
    return contest([ours()], JOB, blank("network", "toy", TRAITS), TRAITS, settings)[0]


def test_a_row_without_rivals(stage) -> None:
    row = row_of(stage)
    assert (row.median_ms, row.gflops, row.gbytes, row.share) == (2.0, pytest.approx(1.0), pytest.approx(1.0), pytest.approx(0.1))
    assert (row.launches, row.first_run_seconds, row.kernels_built, row.threads, row.rivals) == (3, 0.5, 7, 3, ())
    assert stage["manner"].pause == 0 and not row.disturbed and not row.wrong


def test_rivals_are_measured_and_compared(stage) -> None:
    stage["seconds"] = [0.002, 0.003, 0.001]
    stage["results"] = {"torch": [np.array([1.0, 2.0])], "openvino": [np.array([1.0, 2.0002])]}
    row = row_of(stage, "torch", "openvino")
    torch, openvino = row.rivals
    assert (torch.name, torch.median_ms, torch.error) == ("torch", 3.0, 0.0) and row.ratio(torch) == pytest.approx(1.5)
    assert openvino.error == pytest.approx(1e-4, rel=1e-3) and row.ratio(openvino) == pytest.approx(0.5)
    assert stage["manner"].pause > 0.1 and stage["manner"].dropped == 1
    assert [entry[:2] for entry in stage["made"]] == [["torch", 3], ["openvino", 3]], "as many threads as compute units"
    assert not row.wrong


def test_cold_rivals_rotate_through_copies(stage) -> None:
    stage["seconds"], stage["results"] = [0.002, 0.003], {"torch": [np.array([1.0, 2.0])]}
    settings = Settings(against=("torch",), cold=True)
    (row,) = contest([ours()], JOB, blank("network", "toy", TRAITS), TRAITS, settings, copies=2)
    assert stage["made"] == [["torch", 3, 3], ["torch", 3, 3]], "one call to warm up, then four in turns"
    assert row.caches == "cold"


def test_a_rival_that_computes_something_else_makes_the_row_wrong(stage) -> None:
    stage["seconds"], stage["results"] = [0.002, 0.003], {"torch": [np.array([1.0, 2.1])]}
    row = row_of(stage, "torch")
    assert row.wrong == "torch differs by 4.8e-02 of the largest result"


def test_a_rival_that_fails_is_a_reason_and_ends_nothing(stage) -> None:
    stage["seconds"], stage["results"] = [0.002, 0.003], {"openvino": [np.array([1.0, 2.0])]}
    stage["failures"] = {
        "torch": UnsupportedError("--against torch: does not do that"),
        "onnxruntime": RuntimeError("line one\n  line two"),
    }
    row = row_of(stage, "torch", "onnxruntime", "openvino")
    assert [(r.name, r.reason) for r in row.rivals] == [
        ("torch", "does not do that"),
        ("onnxruntime", "line one line two"),
        ("openvino", ""),
    ]
    assert row.ratio(row.rivals[0]) is None and row.rivals[2].median_ms == 3.0


def test_a_disturbed_run_says_so(stage, monkeypatch) -> None:
    monkeypatch.setattr(Quiet, "use", lambda self: Use(0.0, 0.4))
    assert row_of(stage).disturbed == "40 % of processor time taken by other programs"


def test_rivals_stand_in_the_last_row_only(stage) -> None:
    stage["seconds"], stage["results"] = [0.002, 0.004, 0.003], {"torch": [np.array([1.0, 2.0])]}
    first, last = contest([ours(), ours()], JOB, blank("conv", "toy", TRAITS), TRAITS, Settings(against=("torch",)))
    assert not first.rivals and last.ratio(last.rivals[0]) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "ours, theirs, wanted",
    [
        ([[1.0, -2.0]], [[1.0, -2.0]], 0.0),
        ([[1.0, -2.0]], [[1.5, -2.0]], 0.25),
        ([[0.0]], [[0.0]], 0.0),
        ([[1.0]], [[0.0]], math.inf),
        ([[1.0]], [[1.0, 2.0]], math.inf),
        ([[1.0]], [[1.0], [2.0]], math.inf),
        ([[math.nan]], [[1.0]], math.inf),
        ([[1.0], [3.0]], [[1.0], [4.0]], 0.25),
    ],
)
def test_differences_are_shares_of_the_largest_result(ours: Any, theirs: Any, wanted: float) -> None:
    assert difference([np.array(a) for a in ours], [np.array(a) for a in theirs]) == wanted


def test_names_of_rivals() -> None:
    assert parse_names(None) == () and parse_names(" torch ,openvino,torch") == ("torch", "openvino")
    with pytest.raises(UnsupportedError, match="'tensorflow' is not a rival; rivals are torch, onnxruntime, openvino"):
        parse_names("tensorflow")


def test_a_rival_that_is_not_installed_says_how_to_get_it(monkeypatch) -> None:
    import sys

    for name in ("torch", "clconv.bench.rivals.torch_rival", "clconv.bench.rivals.torch_graph", "clconv.bench.rivals.torch_conv"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnsupportedError, match=r"--against torch: .*pip install 'clconv\[peers\]'"):
        opponent("torch", JOB, 1)


def rows() -> list[Row]:
    plain = replace(blank("layers", "conv n1c3i8x8k4f3x3", TRAITS), algorithm="compiled", median_ms=2.0, min_ms=1.5)
    rivals = (RivalRow("torch", "2", "eager", 3.0, 2.5, 0.01, MOST_DIFFERENCE / 2), RivalRow("openvino", reason="not today"))
    return [plain, replace(plain, text="conv n1c3i9x9k4f3x3", rivals=rivals)]


def test_files_of_rows(tmp_path) -> None:
    write_json(rows(), tmp_path / "rows.json")
    assert read_json(tmp_path / "rows.json") == rows()
    write_csv(rows(), tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        first, second = csv.DictReader(file)
    assert first["median_ms"] == "2.0" and first["torch_ms"] == "" and first["gflops"] == ""
    assert (second["torch_ms"], second["torch_ratio"], second["openvino_ms"]) == ("3.0", "1.5", "")


@pytest.mark.parametrize("text", ["", "{}", '{"rows": []}', "[1]", '[{"text": "x"}]', '[{"unknown": 1}]'])
def test_a_file_of_something_else_is_refused(text: str, tmp_path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"rows.json: not a file that `clconv bench ... --json` wrote"):
        read_json(path)
