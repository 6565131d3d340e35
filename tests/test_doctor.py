"""`clconv doctor` on the device: every algorithm and pass is asked for; each way of failing is told apart, recorded, avoided, forgotten."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from clconv.algorithms import ALGORITHMS
from clconv.cli import main
from clconv.cli.explain import explain_problem
from clconv.device import DeviceTraits
from clconv.doctor import conformance
from clconv.doctor.conformance import MOST_LOST, examine
from clconv.doctor.findings import LATE, Examination
from clconv.doctor.problems import cases
from clconv.doctor.record import remember
from clconv.doctor.ward import difference
from clconv.errors import UnsupportedError
from clconv.problem import parse
from clconv.tuning.failures import failures_for, forget, record_path
from clconv.tuning.select import choose
from tests.cases import all_cases, kind_of
from tests.support import traits
from tests.test_algorithms import NOT_FOR

POOL = "avgpool n2c17i7x5f3x3s2p1:nopad"
WRONG = ("pool_rows", "rest < KERNEL_H ? rest : KERNEL_H", "rest < KERNEL_H - 1 ? rest : KERNEL_H - 1")
REFUSED = ("window_copy", "int e = get_local_id(0);", "int e = no_such_name;")
PLANE, ROW = "const int plane = (int)get_global_id(1);", "const int first = "
CRASH = "*(volatile __global int *)(ulong)(get_global_id(0) + 8) = 1;"
HANG = "for (volatile int forever = 1; forever;) {}"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


def planted(folder: Path, *mistakes: tuple[str, str, str]) -> str:
    """A directory of templates, each with one piece of text replaced."""
    for template, old, new in mistakes:
        text = importlib.resources.files("clconv.kernels").joinpath(f"{template}.cl.mako").read_text()
        assert old in text, f"{template}: plant the mistake anew, {old!r} is gone"
        (folder / f"{template}.cl.mako").write_text(text.replace(old, new))
    return str(folder)


def examined(folder: str, *names: str, **patience: float) -> Examination:
    return examine(traits(), *cases(traits(), names, folder), measure=False, patience=patience)


# What is asked


@pytest.mark.parametrize("device", [DeviceTraits.cpu(8), DeviceTraits.cpu(16, 64)], ids=lambda d: d.kind)
def test_every_algorithm_is_tried_with_every_pass_it_is_written_for(device: DeviceTraits) -> None:
    tried, skipped = cases(replace(device, sub_group_sizes=(8, 16, 32)))
    assert not skipped
    for algorithm in ALGORITHMS:
        written_for = {kind_of(p) for p in all_cases() if isinstance(p, algorithm.takes)} - NOT_FOR.get(algorithm.name, set())
        assert {case.kind for case in tried if case.name == algorithm.name} == written_for, algorithm.name


def test_on_a_gpu_what_is_for_processors_is_left_out_with_the_reason() -> None:
    tried, skipped = cases(DeviceTraits.gpu())
    assert {case.name for case in tried} | {each.algorithm for each in skipped} == {algorithm.name for algorithm in ALGORITHMS}
    assert {case.kind for case in tried if case.name == "conv_gemm"} == {"fwd", "bwd_d", "bwd_w"}
    assert "conv_winograd_gemm" in {case.name for case in tried}
    assert {each.algorithm for each in skipped if "needs sub-groups of 8" in each.why} == {"conv_gemm_subgroups"}
    others = [each for each in skipped if each.algorithm != "conv_gemm_subgroups"]
    assert all("CPU devices" in each.why or "CPU device with" in each.why for each in others), others


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no algorithm is called conv_magic; there are conv_winograd, "):
        cases(DeviceTraits.cpu(), ["conv_magic"])


def test_a_difference_is_told_with_its_place() -> None:
    right, nan = np.float32([[1, 2], [3, 4]]), np.float32(np.nan)
    assert difference("y", right, right.astype(np.float64), None) == ""
    assert difference("y", np.float32([[1, 2], [nan, 4]]), right, None) == "y[1, 0] is nan, should be 3; 1 of 4 elements are wrong"
    assert difference("y", right + 0.5, right, np.array(0.5)) == ""
    assert difference("y", right + 0.5, right, np.array(0.25)).startswith("y[0, 0] is 1.5, should be 1 within 0.25; 4 of 4")


# What fails


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Examination:
    """A device whose compiler makes three mistakes, and one algorithm that is well."""
    folder = planted(tmp_path_factory.mktemp("templates"), WRONG, REFUSED, ("unpool_planes", PLANE, f"{CRASH} {PLANE}"))
    return examined(folder, "pool_rows", "window_copy", "unpool_planes", "reorder_strided")


@pytest.fixture
def recorded(ill: Examination) -> Iterator[Path | None]:
    yield remember(ill)
    forget(ill.traits)


def test_each_way_of_failing_is_told_apart(ill: Examination) -> None:
    found = {verdict.algorithm: verdict for verdict in ill.verdicts}
    outcomes = {"pool_rows": "wrong", "window_copy": "build", "unpool_planes": "crash", "reorder_strided": "ok"}
    assert {name: verdict.outcome for name, verdict in found.items()} == outcomes
    assert "elements are wrong" in found["pool_rows"].detail
    assert "no_such_name" in found["window_copy"].detail and "window_copy.cl.mako does not build" in found["window_copy"].detail
    assert "ended with code -11" in found["unpool_planes"].detail
    (left,) = ill.skipped
    assert left.why.startswith("unpool_planes") and left.why.endswith("did not come back") and ":bwd_d" in left.case
    assert not ill.healthy and len(ill.failures) == 5


def test_what_failed_is_passed_over_and_explained_and_forgotten(ill: Examination, recorded: Path) -> None:
    problem = parse(POOL)
    assert recorded == record_path(ill.traits) and recorded.exists()
    choice = choose(problem, ill.traits)
    assert choice.algorithm.name != "pool_rows" and "pool_rows" not in [name for name, _, _ in choice.others]
    text = explain_problem(problem, ill.traits)
    (line,) = [line for line in text.splitlines() if line.startswith("pool_rows")]
    assert line.startswith("pool_rows is passed over: it failed clconv doctor on 20")
    assert line.endswith("with this driver (computes something else (max fwd, avg fwd)); run clconv doctor again after updating")
    assert forget(ill.traits) and not forget(ill.traits)
    assert "pool_rows is passed over" not in explain_problem(problem, ill.traits)
    assert "pool_rows" in [choose(problem, ill.traits).algorithm.name, *(name for name, _, _ in choose(problem, ill.traits).others)]


def test_a_later_healthy_run_takes_it_back(ill: Examination, recorded: Path) -> None:
    well = tuple(replace(v, outcome="ok") for v in ill.verdicts if v.algorithm != "window_copy")
    remember(replace(ill, verdicts=well))
    assert [entry.algorithm for entry in failures_for(ill.traits).entries] == ["window_copy"], "what was not tried again stays"
    remember(replace(ill, verdicts=tuple(replace(v, outcome="ok") for v in ill.verdicts)))
    assert not failures_for(ill.traits) and not recorded.exists()


def test_no_case_begins_after_the_time(tmp_path: Path) -> None:
    found = examine(traits(), *cases(traits(), ["window_copy", "pool_rows"]), seconds=0, measure=False)
    assert not found.verdicts and {each.why for each in found.skipped} == {LATE} and len(found.skipped) == 4 and found.healthy


# The command


def test_edited_templates_fail_without_being_recorded(tmp_path: Path) -> None:
    result = call("--algorithm", "pool_rows", "--no-speed", "--kernels", planted(tmp_path, WRONG))
    assert result.exit_code == 1, result.output
    assert "FAILED: computes something else (max fwd, avg fwd)" in result.output and "NOT HEALTHY: 0 of 3 cases right" in result.output
    assert "WRONG: " in result.output and "update the driver" in result.output and "recorded:" not in result.output
    assert not failures_for(traits())


def test_no_icd_gives_advice_and_exit_code_2(tmp_path: Path) -> None:
    """A pyopencl without PoCL beside it, and a folder of drivers that is empty, as on a machine without any."""
    own = Path(importlib.util.find_spec("pyopencl").submodule_search_locations[0])  # type: ignore[union-attr,index]
    for source in (own, own / ".libs"):
        target = tmp_path / "packages" / "pyopencl" / source.relative_to(own)
        target.mkdir(parents=True)
        for file in source.iterdir() if source.is_dir() else ():
            if file.suffix != ".icd" and file.name != ".libs":
                (target / file.name).symlink_to(file)
    (tmp_path / "vendors").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packages"), "OCL_ICD_VENDORS": str(tmp_path / "vendors")}
    command = [sys.executable, "-c", "from clconv.cli import main; main()", "doctor", "--report", str(tmp_path / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 2, done.stderr
    words = " ".join(done.stdout.split())
    assert "no OpenCL platform" in words and "no device to examine" in words
    assert "pip install 'clconv[pocl]'" in words and "unset OCL_ICD_VENDORS" in words and "intel-opencl-icd" in words
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["platforms"] == [] and report["drivers"]["named by"] == "OCL_ICD_VENDORS" and report["advice"]
    assert str(tmp_path) not in json.dumps(report)


# Of minutes, or of tens of seconds


@pytest.mark.peers
def test_a_hang_is_ended_and_a_driver_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three in a row: the other algorithms are not tried."""
    monkeypatch.setattr(conformance, "MOST_PROCESSES", 1)
    places = {"window_copy": ROW, "resample_axis": ROW, "unpool_planes": PLANE}
    folder = planted(tmp_path, *((name, place, f"{HANG} {place}") for name, place in places.items()))
    tried, skipped = cases(traits(), (*places, "reorder_strided"), folder)
    order = sorted(tried, key=lambda case: case.name != "reorder_strided")  # which comes last then
    found = examine(traits(), order, skipped, patience={"run": 2.0})
    assert [verdict.outcome for verdict in found.verdicts].count("hang") == MOST_LOST
    assert "no end of phase 'run' after 2 s" in found.failures[0].detail
    assert found.measured is None and any("3 crashes or hangs in a row" in each.why for each in found.skipped)


@pytest.mark.exhaustive
def test_this_device_is_healthy(tmp_path: Path) -> None:
    result = call("--time", "600", "--report", str(tmp_path / "report.json"))
    assert result.exit_code == 0, result.output
    (found,) = json.loads((tmp_path / "report.json").read_text())["examined"]
    assert found["healthy"] and {case["outcome"] for case in found["cases"]} == {"ok"} and len(found["cases"]) > 40
    assert found["measured"]["gflops"] > 0 and found["measured"]["gbytes"] > 0 and found["measured"]["launch_us"] > 0
    assert "speed: " in result.output and "\nhealthy: " in result.output
