"""AMD: clang's back end, whose assembly says in comments what a kernel needs."""

from __future__ import annotations

import re
from pathlib import Path

from clconv.isa.compiled import Compiled, Loop, back_edges, inner_loop, library, run, tool

MAC = re.compile(r"v_(dual_)?(pk_)?(fma|fmac|fmaak|fmamk|mad|mac|fma_mix)_?\w*f32|v_fma_mix")
SIMDS = {"gfx9": 4, "gfx1": 2}
MOST_WAVES = {"gfx9": 8, "gfx1": 16}
LOCAL_OF_UNIT = 65536


def compile_kernel(source: Path, symbol: str, arch: str, items: int) -> Compiled:
    """`items`: work-items of a group."""
    out = source.with_suffix(f".{arch}.s")
    run(
        [
            tool("clang-19"), "-x", "cl", "-cl-std=CL1.2", "-target", "amdgcn-amd-amdhsa", f"-mcpu={arch}", "-O3", "-cl-mad-enable", "-w",
            "-Xclang", "-finclude-default-header", "-nogpulib", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
            library("amdgcn--amdhsa.bc"), "-S", str(source), "-o", str(out),
        ],
        f"{arch}, {symbol}",
    )  # fmt: skip
    return read(out.read_text(), symbol, arch, items)


def read(text: str, symbol: str, arch: str, items: int) -> Compiled:
    """The kernel's figures from the assembly of its program."""
    own = text[text.index(f"\n{symbol}:") :]

    def number(pattern: str, where: str = own) -> int:
        found = re.search(pattern, where, re.S)
        return int(found[1]) if found else 0

    local = number(r"; LDSByteSize: (\d+)")
    spills = sum(number(rf"\.name:\s+{symbol}\b.*?\.{kind}_spill_count:\s+(\d+)", text) for kind in ("vgpr", "sgpr"))
    family, wave = arch[:4], 64 if arch.startswith("gfx9") else 32
    waves_of_group = -(-items // wave)
    groups = LOCAL_OF_UNIT // local if local else 1 << 20
    waves = min(number(r"; Occupancy: (\d+)"), groups * waves_of_group / SIMDS[family])
    return Compiled(
        number(r"; NumVgprs: (\d+)"), spills, number(r"; ScratchSize: (\d+)"), local, waves / MOST_WAVES[family],
        loop_of(own[: own.find(".Lfunc_end")]),
    )  # fmt: skip


def loop_of(body: str) -> Loop | None:
    lines = [line.strip() for line in body.splitlines()]
    lines = [line for line in lines if line and not line.startswith((";", ".p2", ".sec", ".loc"))]

    def label_of(line: str) -> str | None:
        # The compiler says which blocks are in loops; others may lie behind what jumps to them as well.
        found = re.match(r"(\.LBB\w+):.*\bLoop\b", line)
        return found[1] if found else None

    def jumps_to(line: str) -> str | None:
        found = re.match(r"s_c?branch\w*\s+(\.LBB\w+)", line)
        return found[1] if found else None

    loop = inner_loop(lines, back_edges(lines, label_of, jumps_to), lambda line: bool(MAC.match(line)))
    if not loop:
        return None
    vector = [line for line in loop if line.startswith("v_")]
    macs = [line for line in vector if MAC.search(line)]
    # A packed instruction multiplies twice; a dual one as often as it names a multiply-add.
    count = sum(2 if line.startswith("v_pk_") else len(MAC.findall(line)) for line in macs)
    loads = sum(bool(re.match(r"ds_(read|load)|(global|buffer|flat)_load", line)) for line in loop)
    return Loop(len(macs), count, len(vector), loads, tuple(loop))
