"""A process inside the simulator: runs cases one after the other, and says of each what the simulator wrote meanwhile.

`python -m tests.oclgrind.worker SEED FIRST END STEP LOG`, started by `reports`; a line of JSON before each case and after it.
"""

from __future__ import annotations

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
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 300
"""Seconds for one case, building included; the simulator itself never gives up."""
OPTIONS = "-O0 -D__builtin_prefetch(...)="
"""The simulator knows neither prefetching nor what LLVM's optimiser makes of divisions (`freeze`)."""


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
    """Reports of all these cases; a process that dies is itself a finding, and another goes on behind the case it died of."""
    while numbers:
        done = -1
        for done, report in enumerate(from_one_process(seed, numbers)):
            yield report
        numbers = numbers[done + 1 :]


def from_one_process(seed: int, numbers: range) -> Iterator[Report]:
    with tempfile.TemporaryDirectory(prefix="clconv-oclgrind-") as folder:
        log = Path(folder) / "log"
        log.touch()  # the simulator makes it when it has something to say
        command = [
            "oclgrind", "--data-races", "--uninitialized", "--max-errors", "20", "--build-options", OPTIONS, "--log", str(log),
            sys.executable, "-m", "tests.oclgrind.worker", *map(str, (seed, numbers.start, numbers.stop, numbers.step, log)),
        ]  # fmt: skip
        # The library's own cache would keep kernels without the lines of their source.
        environment = {**os.environ, "CLCONV_CACHE_DIR": folder, "PYTHONSAFEPATH": "", "PYOPENCL_NO_CACHE": "1", "CLCONV_TUNING_DB": ""}
        with open(Path(folder) / "stderr", "w+") as said:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, cwd=ROOT, env=environment, text=True)
            assert process.stdout is not None
            begun: dict[str, Any] | None = None
            count = 0
            for line in process.stdout:
                values = json.loads(line)
                if "seconds" in values:
                    begun, count = None, count + 1
                    yield Report(**values)
                else:
                    begun = values
            status = process.wait()
            if status or count < len(numbers):
                said.seek(0)
                words = said.read().strip()[-2000:]
                if begun is None:
                    raise RuntimeError(f"a worker of tests.oclgrind ended ({status}) before its next case: {words}")
                yield Report(**begun, found=f"the process ended with status {status}\n{words}")


def main(seed: int, numbers: range, log: Path) -> None:
    # What the library prints is no report.
    out, sys.stdout = sys.stdout, sys.stderr
    import faulthandler

    with log.open() as written:
        for number in numbers:
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            about, begin, wrong = {"number": number, "algorithm": "", "kind": "", "label": f"shape {number}"}, time.perf_counter(), ""
            try:
                from tests.oclgrind.draw import case
                from tests.oclgrind.running import difference

                drawn = case(seed, number)
                about |= {"algorithm": drawn.algorithm, "kind": drawn.kind, "label": drawn.label}
                print(json.dumps(about), file=out, flush=True)
                wrong = difference(drawn.prepared)
            except Exception:
                wrong = traceback.format_exc()
            report = Report(**about, found=written.read().strip(), wrong=wrong, seconds=time.perf_counter() - begin)
            print(json.dumps(asdict(report)), file=out, flush=True)


if __name__ == "__main__":
    seed, *numbers = map(int, sys.argv[1:5])
    main(seed, range(*numbers), Path(sys.argv[5]))
