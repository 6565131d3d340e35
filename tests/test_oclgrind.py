"""What is drawn for the simulator, how it is reported, and that the simulator finds what is planted."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from clconv.algorithms import ALGORITHMS
from clconv.runtime.launch import rendered
from tests.oclgrind.__main__ import ADVICE, summary
from tests.oclgrind.draw import case, pairs
from tests.oclgrind.running import lane_by_lane
from tests.oclgrind.worker import SIMULATOR, Report
from tests.test_algorithms import NOT_FOR, kinds

PLANTED = {
    "Invalid read": "y[i] = x[i + 1];",
    "Invalid write": "y[i + 1] = x[i];",
    "Read-write data race": "t[i] = x[i]; y[i] = t[7 - i];",
    "Uninitialized value": "float own[2]; own[0] = x[i]; y[i] = own[x[i] < 4];",
    "": "t[i] = x[i]; barrier(CLK_LOCAL_MEM_FENCE); y[i] = t[7 - i];",
}
PROGRAM = """
import numpy as np, pyopencl as cl, sys
context = cl.Context(cl.get_platforms()[0].get_devices())
queue, flags = cl.CommandQueue(context), cl.mem_flags
source = "__kernel void f(__global const float *x, __global float *y, __local float *t) { const int i = get_global_id(0); %s }"
x, y = (cl.Buffer(context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=np.arange(8, dtype=np.float32)) for _ in range(2))
cl.Program(context, source %% sys.argv[1]).build().f(queue, (8,), (8,), x, y, cl.LocalMemory(32))
queue.finish()
""".replace("%%", "%")


def test_every_algorithm_and_kind_takes_its_turn() -> None:
    simulated = [a for a in ALGORITHMS if a.name != "conv_gemm_subgroups"]  # Oclgrind has no sub-groups
    known = {(a.name, kind) for a in simulated for kind in kinds(a) if kind not in NOT_FOR.get(a.name, set())}
    drawn = [case(5, number) for number in range(len(pairs()))]
    assert {(each.algorithm, each.kind) for each in drawn} == known and len(drawn) == len(known)
    assert all(each.algorithm in each.label and each.prepared.plan.calls for each in drawn)


def test_a_number_is_the_same_shape_every_time_and_another_with_another_seed() -> None:
    numbers = range(0, len(pairs()), 5)
    assert [case(3, n) for n in numbers] == [case(3, n) for n in numbers]
    assert [case(3, n).label for n in numbers] != [case(4, n).label for n in numbers]


def test_shuffles_are_written_out() -> None:
    kernel = rendered(next(each for each in map(lambda n: case(1, n), range(500)) if each.algorithm == "pool_rows").prepared.plan.calls)[0]
    for text, written in (
        ("(vec)(near.odd, far.odd)", "(vec)(near.s1, near.s3, far.s1, far.s3)"),
        ("(vec)(near.even, far.even)", "(vec)(near.s0, near.s2, far.s0, far.s2)"),
        ("value.s0022 * w", "(vec)(value.s0, value.s0, value.s2, value.s2) * w"),
        ("value.s0 * w", "value.s0 * w"),
    ):
        assert lane_by_lane(replace(kernel, text=f"#define LANES 4\n{text}")).text == f"#define LANES 4\n{written}"


def test_findings_are_counted_by_algorithm_and_kind() -> None:
    said = (("", ""), ("race", ""), ("", "off"))
    lines = summary([Report(n, "conv_direct", "fwd", "", *words, 1.0) for n, words in enumerate(said)], 2.0).splitlines()
    assert lines[1].split() == ["conv_direct", "fwd", "3", "1", "1", "3.0"]
    assert lines[-1] == "3 shapes, 1 pairs of algorithm and pass, 2 with findings, in 2 s"


@pytest.mark.exhaustive
@pytest.mark.parametrize("finding", PLANTED)
def test_the_simulator_finds_what_is_planted(finding: str, tmp_path: Path) -> None:
    """Where it is installed; where it is not, the command says how to get it."""
    if shutil.which(SIMULATOR[0]) is None:
        assert "Debian's package oclgrind" in ADVICE
        return
    file = tmp_path / "planted.py"
    file.write_text(PROGRAM)
    environment = {**os.environ, "PYOPENCL_NO_CACHE": "1"}
    done = subprocess.run([*SIMULATOR, str(file), PLANTED[finding]], capture_output=True, text=True, check=True, env=environment)
    assert finding in done.stderr if finding else not done.stderr
