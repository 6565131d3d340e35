"""NVIDIA: clang to PTX, ptxas to machine code, nvdisasm to read it."""

from __future__ import annotations

import re
from pathlib import Path

from clconv.isa.compiled import Compiled, Loop, back_edges, inner_loop, library, run, tool

# Not the vector unit's: memory, branches and barriers, the uniform unit.
OTHER = re.compile(r"(LDS|STS|LDG|STG|LDC|LDL|STL|ULDC|BAR|BRA|U[A-Z]|WARPSYNC|BSSY|BSYNC|NOP|DEPBAR|LDGDEPBAR|MEMBAR|EXIT)")
REGISTERS = 65536
LOCAL_OF_UNIT = {"sm_80": 164 * 1024, "sm_90": 228 * 1024}
RESERVED = 1024
MOST_WARPS, MOST_GROUPS = 64, 32


def compile_kernel(source: Path, symbol: str, arch: str, items: int) -> Compiled:
    """`items`: work-items of a group."""
    ptx, binary = source.with_suffix(f".{arch}.ptx"), source.with_suffix(f".{arch}.cubin")
    what = f"{arch}, {symbol}"
    run(
        [
            tool("clang-19"), "-x", "cl", "-cl-std=CL1.2", "-target", "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", arch,
            "-O3", "-cl-mad-enable", "-w", "-Xclang", "-finclude-default-header", "-Xclang", "-mlink-builtin-bitcode", "-Xclang",
            library("nvptx64--nvidiacl.bc"), "-S", str(source), "-o", str(ptx),
        ],
        what,
    )  # fmt: skip
    # ptxas does not take the texture mode that clang writes behind the architecture.
    ptx.write_text(re.sub(r"\.target .*", f".target {arch}", ptx.read_text()))
    log = run([tool("ptxas"), "-v", f"-arch={arch}", str(ptx), "-o", str(binary)], what)
    return read(log, run([tool("nvdisasm"), "-c", str(binary)], what), symbol, arch, items)


def read(log: str, assembly: str, symbol: str, arch: str, items: int) -> Compiled:
    """The kernel's figures from what ptxas reports, its loop from the disassembly."""
    own = log[log.rindex(f"'{symbol}'") :] if f"'{symbol}'" in log else log

    def number(pattern: str) -> int:
        found = re.search(pattern, own)
        return int(found[1]) if found else 0

    registers, local = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
    warps = -(-items // 32)
    by_registers = REGISTERS // (warps * 32 * -(-max(registers, 1) // 8) * 8)
    by_local = LOCAL_OF_UNIT[arch] // (local + RESERVED)
    groups = min(by_registers, by_local, MOST_WARPS // warps, MOST_GROUPS)
    # Spilled registers are part of the stack frame; stores count their bytes.
    spills = number(r"(\d+) bytes spill stores") // 4
    return Compiled(registers, spills, number(r"(\d+) bytes stack frame"), local, groups * warps / MOST_WARPS, loop_of(assembly, symbol))


def loop_of(assembly: str, symbol: str) -> Loop | None:
    body = assembly[assembly.find(f".text.{symbol}:") :]
    body = body.partition("\n\t.section")[0]
    lines = [re.sub(r"^/\*\w+\*/\s*", "", line.strip()) for line in body.splitlines()]
    lines = [line for line in lines if re.match(r"\.L_\w+:|(@\S+ +)?[A-Z]", line)]

    def label_of(line: str) -> str | None:
        found = re.match(r"(\.L_\w+):", line)
        return found[1] if found else None

    def jumps_to(line: str) -> str | None:
        found = re.search(r"BRA.*`\((\.L_\w+)\)", line)
        return found[1] if found else None

    loop = inner_loop(lines, back_edges(lines, label_of, jumps_to), lambda line: "FFMA" in line)
    if not loop:
        return None
    names = [re.sub(r"^@\S+\s+", "", line).split()[0].rstrip(";") for line in loop if not line.startswith(".")]
    macs = sum(name.startswith("FFMA") for name in names)
    twice = sum(name.startswith("FFMA2") for name in names)
    vector = sum(not OTHER.match(name) for name in names)
    return Loop(macs, macs + twice, vector, sum(name.startswith(("LDS", "LDG")) for name in names), tuple(loop))
