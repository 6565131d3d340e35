"""A process inside the simulator: runs shapes one after the other, and says of each what the simulator wrote meanwhile.

`python -m tests.oclgrind.worker SEED FIRST END STEP FOLDER`, started by `reports`; a line of JSON for each shape.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oclgrind.draw import Case

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = "-w -O0 -D__builtin_prefetch(...)= -D__builtin_sqrtf(v)=(sqrt)(v)"
"""The simulator knows neither these two functions nor what LLVM's optimiser makes of divisions (`freeze`)."""
SIMULATOR = (
    "oclgrind", "--data-races", "--uninitialized", "--num-threads", "1", "--max-errors", "20", "--build-options", OPTIONS, sys.executable,
)  # fmt: skip
"""One thread: several lose track of what is initialised."""
NOISE = ("warning generated.\n", "warnings generated.\n")
LONGEST = 300
"""Seconds for one shape, building included; the simulator itself never gives up."""


@dataclass(frozen=True)
class Report:
    """`found` is what the simulator wrote, `wrong` how the result differs from the reference; both empty where all is well."""

    number: int
    algorithm: str
    kind: str
    label: str
    found: str = ""
    wrong: str = ""
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        return not self.found and not self.wrong


def reports(seed: int, numbers: range) -> Iterator[Report]:
    """Reports of all these shapes, as they come. Raises RuntimeError where the process ends before it has run them all."""
    with tempfile.TemporaryDirectory(prefix="clconv-oclgrind-") as folder:
        which = map(str, (seed, numbers.start, numbers.stop, numbers.step, folder))
        command = [*SIMULATOR, "-m", "tests.oclgrind.worker", *which]
        # A kernel from another cache may have been built with other options.
        environment = {**os.environ, "CLCONV_CACHE_DIR": folder, "PYTHONSAFEPATH": "", "CLCONV_TUNING_DB": ""}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment, text=True)
        assert process.stdout is not None
        count = 0
        for line in process.stdout:
            count += 1
            yield Report(**json.loads(line))
        if process.wait() or count < len(numbers):
            raise RuntimeError(f"a worker of tests.oclgrind ended with status {process.returncode} after {count} of {len(numbers)} shapes")


def main(seed: int, numbers: range, folder: Path) -> None:
    """Each shape has a process of its own, forked before it touches OpenCL: the simulator remembers what was initialised at an address in
    buffers that are gone, and a crash of it takes nothing else along."""
    import tests.oclgrind.running  # noqa: F401  once for all
    from tests.oclgrind.draw import case

    for number in numbers:
        begin, where = time.perf_counter(), folder / str(number)
        report = Report(number, "", "", f"shape {number}")
        try:
            drawn = case(seed, number)
        except Exception:
            print(json.dumps(asdict(report) | {"wrong": traceback.format_exc()}), flush=True)
            continue
        if not (child := os.fork()):
            in_child(drawn, where)
        _, status = os.waitpid(child, 0)
        found = "".join(line for line in where.with_suffix(".said").open(errors="replace") if not line.endswith(NOISE)).strip()
        wrong = where.with_suffix(".wrong").read_text()
        if status:
            found = f"the process ended with status {os.waitstatus_to_exitcode(status)}\n{found}"
        own = Report(number, drawn.algorithm, drawn.kind, drawn.label, found, wrong, time.perf_counter() - begin)
        print(json.dumps(asdict(own)), flush=True)


def in_child(drawn: Case, where: Path) -> None:
    """Runs the shape; what the simulator says of it goes to `where`.said, how the result differs to `where`.wrong."""
    from tests.oclgrind.running import difference

    status = 1
    try:
        with where.with_suffix(".wrong").open("w", buffering=1) as wrong, where.with_suffix(".said").open("w") as said:
            faulthandler.dump_traceback_later(LONGEST, exit=True, file=wrong)
            sys.stdout = sys.stderr = wrong  # what Python prints is none of the simulator's findings
            for descriptor in (1, 2):
                os.dup2(said.fileno(), descriptor)
            try:
                wrong.write(difference(drawn.prepared))
            except Exception:
                wrong.write(traceback.format_exc())
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    seed, *numbers = map(int, sys.argv[1:5])
    main(seed, range(*numbers), Path(sys.argv[5]))
