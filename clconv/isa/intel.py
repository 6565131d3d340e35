"""Intel: the graphics compiler through ocloc, which writes its assembly into a folder on request."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from clconv.errors import BuildError
from clconv.isa.compiled import Compiled, Loop, back_edges, inner_loop, run, tool

LOCAL_OF_UNIT = 131072
THREADS_OF_UNIT = 128
REGISTER_BYTES = 32
MAC = re.compile(r"(\([^)]*\) +)?mad \(\d+\|.*:f\b")


def compile_kernel(source: Path, symbol: str, arch: str, items: int) -> Compiled:
    """`items`: work-items of a group."""
    folder = source.with_suffix(f".{arch}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environment = {**os.environ, "IGC_ShaderDumpEnable": "1", "IGC_DumpToCustomDir": str(folder / "dump")}
    options = "-cl-std=CL1.2 -cl-mad-enable -w"
    log = run(
        [
            tool("ocloc"), "compile", "-file", str(source), "-device", arch, "-out_dir", str(folder), "-output", "kernel", "-options",
            options,
        ],
        f"{arch}, {symbol}", environment, folder,
    )  # fmt: skip
    texts = [path.read_text(errors="replace") for path in sorted((folder / "dump").glob("*.asm"))]
    own = [text for text in texts if symbol in text]
    if not own:
        raise BuildError(f"{arch}, {symbol}: ocloc wrote no assembly into its dump; its version may not know IGC_ShaderDumpEnable")
    return read(log, max(own, key=width_of), local_bytes(folder / "dump"), items)


def local_bytes(dump: Path) -> int:
    """Local memory of the kernel, which only its intermediate form states, as arrays in address space 3."""
    total = 0
    for path in sorted(dump.glob("*_beforeUnification.ll"))[:1]:
        for elements, bits in re.findall(r"addrspace\(3\) global \[(\d+) x (?:float|i32|i(\d+))\]", path.read_text(errors="replace")):
            total += int(elements) * (int(bits) // 8 if bits else 4)
        for elements in re.findall(r"addrspace\(3\) global \[(\d+) x <4 x i32>\]", path.read_text(errors="replace")):
            total += 16 * int(elements)
    return total


def width_of(text: str) -> int:
    """Work-items of a sub-group."""
    found = re.search(r"simd(?:_size)?[ =:]+(\d+)", text, re.I)
    return int(found[1]) if found else 0


def read(log: str, text: str, local: int, items: int) -> Compiled:
    """The kernel's figures and loop from its assembly and what ocloc says of spills."""

    def number(pattern: str, where: str = text) -> int:
        found = re.search(pattern, where)
        return int(found[1]) if found else 0

    width = width_of(text) or 8
    registers = number(r"thread_config.*numGRF=(\d+)") or 128
    used = max((int(n) for n in re.findall(r"\br(\d+)\.\d", text)), default=0) + 1
    spill_bytes = number(r"\.spill size (\d+)")
    spills = max(number(r"spilled around (\d+)", log), spill_bytes // REGISTER_BYTES)
    threads = -(-items // width)
    resident = min(THREADS_OF_UNIT // threads, LOCAL_OF_UNIT // local if local else THREADS_OF_UNIT)
    return Compiled(min(used, registers), spills, spill_bytes, local, resident * threads / THREADS_OF_UNIT, loop_of(text, width))


def loop_of(text: str, width: int) -> Loop | None:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("//", "."))]

    def label_of(line: str) -> str | None:
        found = re.match(r"(\w+):", line)
        return found[1] if found else None

    def jumps_to(line: str) -> str | None:
        if not re.search(r"\b(while|jmpi|goto|brd)\b", line):
            return None
        found = re.search(r"\b(_\d+_\d+|L\d+|BB_\w+)\b", line)
        return found[1] if found else None

    loop = inner_loop(lines, back_edges(lines, label_of, jumps_to), lambda line: bool(MAC.match(line)))
    if not loop:
        return None
    operations = [re.sub(r"^\([^)]*\)\s*", "", line) for line in loop]
    operations = [line for line in operations if not re.match(r"\w+:", line)]
    vector = [o for o in operations if not re.match(r"(send|load|store|sync|goto|join|while|jmpi|nop|endif|if|else|break)", o)]
    macs = [o for o in vector if MAC.match(o)]
    loads = sum(bool(re.match(r"send|load", o)) and "store" not in o for o in operations)
    # An operation of n lanes takes n / 8 slots of a vector engine.
    return Loop(sum(map(slots, macs)), sum(map(lanes, macs)) // width, sum(map(slots, vector)), loads, tuple(loop))


def lanes(operation: str) -> int:
    found = re.match(r"\S+ \((\d+)\|", operation)
    return int(found[1]) if found else 1


def slots(operation: str) -> int:
    return max(1, lanes(operation) // 8)
