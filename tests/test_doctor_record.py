"""What `clconv doctor` recorded: kept a device and driver, read once, passed over by `select` unless nothing else is left."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clconv.device import DeviceTraits
from clconv.doctor.findings import Examination, Verdict
from clconv.doctor.record import failures_of
from clconv.errors import DataError
from clconv.problem import PoolProblem, parse
from clconv.runtime import programs
from clconv.tuning import failures
from clconv.tuning.failures import Failure, Failures, failures_for, forget, record, record_path
from clconv.tuning.select import candidates, choose, describe

CPU = replace(DeviceTraits.cpu(8), driver="1.0")
CONV, HALF = parse("n1c64i56x56k64f3x3p1"), parse("n1c64i56x56k64f3x3p1:f16")
POOLS = ("pool_blocked", "pool_rows", "pool_direct")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CLCONV_CACHE_DIR", str(tmp_path))
    failures_for.cache_clear()
    yield tmp_path
    failures_for.cache_clear()


def failed(*names: str, dtype: str = "float32") -> Failures:
    return Failures(tuple(Failure(name, dtype, "computes something else (fwd)", "2026-01-31") for name in names))


def chosen(problem: object = CONV, **options: str) -> str:
    return choose(problem, CPU, **options).algorithm.name  # type: ignore[arg-type]


# The file


def test_a_record_is_found_again_and_forgotten(folder: Path) -> None:
    assert failures_for(CPU) == Failures() and not list(folder.iterdir()), "looking writes nothing"
    path = record(CPU, failed("conv_winograd"))
    assert path == record_path(CPU) and failures_for(CPU) == failed("conv_winograd")
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing temporary stays"
    assert record(CPU, Failures()) is None and not path.exists() and not forget(CPU)


def test_another_driver_or_device_has_a_record_of_its_own() -> None:
    record(CPU, failed("conv_winograd"))
    assert not failures_for(replace(CPU, driver="1.1")) and not failures_for(replace(CPU, name="another"))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 1}', '{"format": 2, "failures": []}', '{"format": 1, "failures": [{"algorithm": "conv_direct"}]}']
)
def test_a_damaged_record_is_ignored_with_one_warning(content: str) -> None:
    path = record(CPU, failed("conv_winograd"))
    assert path is not None
    path.write_text(content)
    with pytest.warns(UserWarning, match="the record of clconv doctor .* is ignored: .*`clconv doctor` writes a new one"):
        assert chosen() == "conv_winograd"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not failures_for(CPU)


def test_it_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DeviceTraits] = []
    monkeypatch.setattr(failures, "record_path", lambda traits: asked.append(traits) or record_path(traits))
    for _ in range(3):
        choose(CONV, CPU)
    assert len(asked) == 1


def test_nothing_is_kept_without_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLCONV_CACHE_DIR", "")
    assert programs.cache_directory() is None and record(CPU, failed("conv_direct")) is None and not forget(CPU)
    assert not failures_for(CPU)


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "doctor").write_text("in the way")
    with pytest.raises(DataError, match="cannot be recorded in .*doctor.*CLCONV_CACHE_DIR"):
        record(CPU, failed("conv_direct"))


def test_importing_the_library_reads_nothing_of_it() -> None:
    code = "import sys, clconv; print({'clconv.tuning.failures', 'clconv.doctor'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_verdicts_become_one_failure_an_algorithm() -> None:
    def verdict(name: str, kind: str, outcome: str, dtype: str = "float32") -> Verdict:
        return Verdict("a case", name, kind, dtype, outcome)

    verdicts = (
        verdict("conv_gemm", "fwd", "ok"), verdict("conv_gemm", "bwd_d", "wrong"), verdict("conv_gemm", "fwd", "build", "float16"),
        verdict("map_strided", "all", "hang", "float16"), verdict("pool_rows", "max fwd", "ok"),
    )  # fmt: skip
    assert failures_of(Examination(CPU, verdicts, ()), "2026-01-31") == (
        Failure("conv_gemm", "float32", "computes something else (bwd_d)", "2026-01-31"),
        Failure("map_strided", "float16", "does not come to an end (all)", "2026-01-31"),
    )


# The choice


def test_what_failed_is_passed_over_with_a_sentence() -> None:
    assert chosen() == "conv_winograd"
    record(CPU, failed("conv_winograd"))
    choice = choose(CONV, CPU)
    assert choice.algorithm.name == "conv_blocked" and "conv_winograd" not in [name for name, _, _ in choice.others]
    assert describe(choice).endswith(
        "; conv_winograd is passed over: it failed clconv doctor on 2026-01-31 with this driver (computes something else (fwd)); "
        "run clconv doctor again after updating"
    )
    assert "conv_winograd" not in {candidate.algorithm.name for candidate in candidates(CONV, CPU)}, "the tuner does not try it either"
    forget(CPU)
    assert chosen() == "conv_winograd" and not choose(CONV, CPU).doubts


def test_failing_with_halves_concerns_halves_alone() -> None:
    before = chosen(HALF)
    record(CPU, failed(before, dtype="float16"))
    assert chosen(HALF) != before and chosen(parse(str(HALF).removesuffix(":f16")), forced=before) == before
    assert not choose(CONV, CPU, forced=before).doubts


def test_who_needs_what_failed_to_bring_its_operands_is_passed_over_too() -> None:
    record(CPU, failed("pack_weights"))
    choice = choose(CONV, CPU, forced="conv_blocked")
    assert choice.doubts[0].startswith(
        "conv_blocked is not passed over, because the caller asks for it by name: its w is packed 8x16, and pack_weights, which makes "
        "that, failed clconv doctor on 2026-01-31"
    )
    record(CPU, failed("pack_weights", "winograd_weights"))
    assert chosen() == "conv_direct" and len(choose(CONV, CPU).doubts) == 2


def test_where_nothing_else_is_left_it_is_taken_with_a_warning() -> None:
    problem = parse("avgpool n2c17i7x5f3x3s2p1")
    assert isinstance(problem, PoolProblem)
    record(CPU, failed(*POOLS))
    with pytest.warns(UserWarning, match=r"pool_\w+ is all that is left, although it failed clconv doctor on 2026-01-31"):
        choice = choose(problem, CPU)
    assert len(choice.doubts) == 3 and all("is not passed over, because no other is left" in doubt for doubt in choice.doubts)


def test_who_asks_by_name_gets_it_and_is_told() -> None:
    record(CPU, failed("conv_direct"))
    choice = choose(CONV, CPU, forced="conv_direct")
    assert choice.algorithm.name == "conv_direct"
    assert choice.doubts[0].startswith("conv_direct is not passed over, because the caller asks for it by name: it failed clconv doctor")
