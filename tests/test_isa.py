"""What `clconv isa` reads from three vendors' compilers: on texts as they write them, and with the compilers where they are installed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from clconv.cli import main
from clconv.device import DeviceTraits
from clconv.errors import BuildError, UnsupportedError
from clconv.isa import TARGETS, amd, compiled, inspect, intel, nvidia, target_named
from clconv.isa.report import Row
from clconv.isa.suite import FLOORS, problems, verdicts
from clconv.problem import Pass, parse

AMD = """
kernel_1:
\ts_load_dword s0, s[4:5], 0x0
.LBB0_2:                                ;   Parent Loop BB0_1 Depth=1
\tds_read_b128 v[0:3], v9
\tv_pk_fma_f32 v[4:5], v[0:1], v[2:3], v[4:5]
\tv_dual_fmac_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6
\tv_dual_fmac_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5
\tv_fmac_f32_e32 v1, v2, v3
\tv_add_u32_e32 v9, 16, v9
\tv_mul_lo_u32 v9, v9, v8
\tglobal_load_dword v7, v9, s[0:1]
\ts_cmp_lg_u32 s2, 0
\ts_cbranch_scc1 .LBB0_2
\ts_endpgm
.Lfunc_end0:
; NumVgprs: 120
; ScratchSize: 16
; Occupancy: 4
; LDSByteSize: 32768 bytes/workgroup (compile time only)
    .name:           kernel_1
    .sgpr_spill_count: 0
    .vgpr_spill_count: 3
"""

NVIDIA_LOG = """ptxas info    : Compiling entry function 'kernel_1' for 'sm_80'
ptxas info    : Function properties for kernel_1
    8 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 16384 bytes smem, 520 bytes cmem[0]
"""
NVIDIA = """
.text.kernel_1:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   LDS.128 R4, [R8] ;
        /*0020*/                   FFMA R12, R4, R5, R12 ;
        /*0030*/                   FFMA R13, R4, R6, R13 ;
        /*0040*/              @!P1 IADD3 R8, R8, 0x10, RZ ;
        /*0050*/                   UIADD3 UR4, UR4, 0x1, URZ ;
        /*0060*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0070*/               @P0 BRA `(.L_x_0) ;
        /*0080*/                   EXIT ;
"""

INTEL = """//.kernel kernel_1
//.thread_config numGRF=128, numAcc=4, numSWSB=16
//.spill size 64
//.simd_size 8
_0_1:
        mad (8|M0)               r9.0<1>:f     r9.0<1;0>:f       r3.0<1;0>:f       r4.0<0>:f
        mad (8|M0)               r10.0<1>:f    r10.0<1;0>:f      r3.0<1;0>:f       r4.1<0>:f
        mad (16|M0)              r20.0<1>:f    r20.0<1;0>:f      r3.0<1;0>:f       r4.1<0>:f
        mad (8|M0)               r40.0<1>:d    r40.0<1;0>:d      r3.0<1;0>:d       r4.1<0>:d
(W)     add (1|M0)               r5.0<1>:d     r5.0<0;1,0>:d     1:w
        send.dc1 (8|M0)          r13      r11     null:0  0x0            0x02206E00
(f0.0)  while (8|M0)             _0_1
"""


# The parsers


def test_amd_packed_and_paired_multiply_adds_count_twice() -> None:
    found = amd.read(AMD, "kernel_1", "gfx90a", items=256)
    assert (found.registers, found.spills, found.scratch_bytes, found.local_bytes) == (120, 3, 16, 32768)
    assert found.occupancy == 2 / 8, "two groups of four waves on four units, by local memory"
    assert found.loop is not None and found.loop.lines[0].startswith(".LBB0_2")
    assert (found.loop.mac_slots, found.loop.macs, found.loop.vector_slots, found.loop.loads) == (4, 6, 6, 2)
    assert found.loop.share == pytest.approx(4 / 6)


def test_amd_blocks_that_only_lie_behind_their_jump_are_no_loop() -> None:
    assert amd.read(AMD.replace("Parent Loop", "Parent"), "kernel_1", "gfx90a", items=256).loop is None


def test_nvidia_memory_and_uniform_instructions_are_not_the_vector_units() -> None:
    found = nvidia.read(NVIDIA_LOG, NVIDIA, "kernel_1", "sm_80", items=256)
    assert (found.registers, found.spills, found.scratch_bytes, found.local_bytes) == (128, 3, 8, 16384)
    assert found.occupancy == 2 * 8 / 64, "two groups by registers"
    assert found.loop is not None
    assert (found.loop.mac_slots, found.loop.macs, found.loop.vector_slots, found.loop.loads) == (2, 2, 3, 1)


def test_intel_wide_instructions_take_slots_by_their_lanes() -> None:
    found = intel.read("", INTEL, local=32768, items=256)
    assert (found.registers, found.spills, found.scratch_bytes) == (41, 2, 64)
    assert found.occupancy == 1.0, "four groups of 32 threads"
    assert found.loop is not None
    assert (found.loop.mac_slots, found.loop.macs, found.loop.vector_slots, found.loop.loads) == (4, 4, 6, 1)


def test_intel_local_memory_is_read_from_the_intermediate_form(tmp_path: Path) -> None:
    text = "@a = internal addrspace(3) global [4096 x float]\n@b = internal addrspace(3) global [336 x <4 x i32>]\n"
    (tmp_path / "x_beforeUnification.ll").write_text(text)
    assert intel.local_bytes(tmp_path) == 4096 * 4 + 336 * 16


def test_rotated_loops_are_one() -> None:
    """Two back edges over the same multiply-adds: the union; a loop without any is none."""
    lines = ["a:", "mac", "b:", "mac", "mac", "jump b", "jump a", "c:", "add", "jump c"]
    edges = compiled.back_edges(
        lines, lambda line: line[:-1] if line.endswith(":") else None, lambda line: line[5:] if line.startswith("jump") else None
    )
    assert edges == [(2, 5), (0, 6), (7, 9)]
    assert compiled.inner_loop(lines, edges, lambda line: line == "mac") == lines[2:6], "half as many again are another loop"
    assert compiled.inner_loop(["a:", "mac", *lines[2:3], *["mac"] * 9, *lines[5:7]], [(2, 12), (0, 13)], lambda line: line == "mac") == [
        "a:", "mac", "b:", *["mac"] * 9, "jump b", "jump a",
    ]  # fmt: skip
    assert compiled.inner_loop(lines[7:], [(0, 2)], lambda line: line == "mac") == []


# Targets and tools


def test_targets_are_found_by_either_name() -> None:
    assert target_named("amd:gfx1100") is target_named("gfx1100")
    with pytest.raises(UnsupportedError, match="target 'gfx1' is not one of amd:gfx90a, "):
        target_named("gfx1")
    assert all(target.traits.start.large.items <= target.max_work_group_size for target in TARGETS)


def test_a_board_is_named_with_its_peak() -> None:
    machine = target_named("sm_80").board.machine
    assert (machine.units, machine.bandwidth) == (108, 1555e9)
    assert machine.peak == pytest.approx(9.75e12), "multiply-adds: half of 19.5 TFLOP/s"


@pytest.mark.parametrize("name", compiled.PACKAGES)
def test_a_missing_tool_is_answered_with_its_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=rf"{name} is not on the PATH, .*; install Debian package "):
        compiled.tool(name)


def test_tools_of_pip_packages_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cu13" / "bin").mkdir(parents=True)
    (tmp_path / "cu13" / "bin" / "nvdisasm").touch()
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiled, "find_spec", lambda name: type("Spec", (), {"submodule_search_locations": [str(tmp_path)]}))
    assert compiled.tool("nvdisasm") == str(tmp_path / "cu13" / "bin" / "nvdisasm")


def test_a_compiler_that_refuses_is_quoted() -> None:
    with pytest.raises(BuildError, match="gfx90a, kernel_1: sh refused the kernel:\nno such thing"):
        compiled.run(["/bin/sh", "-c", "echo no such thing; exit 1"], "gfx90a, kernel_1")


# The suite


def test_the_suite_has_sixty_layers_and_all_kinds_of_them() -> None:
    asked = problems()
    assert len(asked) >= 60 and len(set(asked)) == len(asked)
    assert {p.direction for p in asked} == set(Pass) == {p.direction for p in asked if p.dtype == "float16"}
    assert any(p.depthwise for p in asked) and any(p.geometry.groups > 1 and not p.depthwise for p in asked)
    assert any(p.channels == 3 for p in asked) and any(p.filters % 32 for p in asked) and any(p.geometry.dilation != (1, 1) for p in asked)


def test_a_spill_or_a_low_mean_misses_the_floor() -> None:
    row = Row("amd:gfx90a", "conv_gemm", "conv_gemm", 120, 0, 0, 16384, 0.5, 0.64, 0.7, 0.07, "", "n1c8i9x9k8f3x3")
    good, other = replace(row, mac_share=1.0), replace(row, entry="conv_direct", mac_share=0.1)
    (verdict,) = verdicts([row, good, other])
    assert (verdict.kernels, verdict.least, verdict.mean) == (3, 0.64, pytest.approx(0.8)) and verdict.holds == (verdict.mean >= 0.8)
    assert FLOORS["forward"] == 0.80 and not verdicts([row])[0].holds and verdicts([good])[0].holds
    (products,) = verdicts([replace(row, algorithm="conv_winograd_gemm", entry="conv_gemm_products", mac_share=0.88)])
    assert products.kind == "winograd" and products.holds
    assert not verdicts([good, replace(other, scratch_bytes=4)])[0].holds and not verdicts([replace(good, spills=1)])[0].holds


# The command


def answer(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["isa", *arguments])
    return result.exit_code, result.output


def test_what_to_compile_must_be_said_once() -> None:
    for arguments in ((), ("--suite", "n1c8i9x9k8f3x3")):
        code, text = answer(*arguments)
        assert code == 2 and "give a PROBLEM, or --suite without one" in text


NEEDED = {"amd": ("clang-19",), "nvidia": ("clang-19", "ptxas"), "intel": ("ocloc",)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_compilers_themselves(target) -> None:  # type: ignore[no-untyped-def]
    """Where a vendor's compiler is installed: no spills, and most of the inner loop multiplies. Where it is not: which package has it."""
    missing = next((name for name in NEEDED[target.vendor] if shutil.which(name) is None), None)
    if missing is not None:
        with pytest.raises(UnsupportedError, match=f"{missing} is not on the PATH"):
            inspect(parse("n32c128i28x28k128f3x3p1"), [target])
        return
    for direction in Pass:
        row = inspect(replace(parse("n32c128i28x28k128f3x3p1"), direction=direction), [target], "conv_gemm")[0]
        assert row.target == target.name and row.algorithm == "conv_gemm" and row.entry.startswith("conv_gemm")
        assert (row.spills, row.scratch_bytes) == (0, 0) and 0 < row.occupancy <= 1 and row.local_bytes > 8192
        assert row.mac_share is not None and FLOORS[direction.name.lower()] <= row.mac_share < 1
        assert row.modelled_fraction is not None and 0.2 < row.modelled_fraction < 1
        assert row.assembly and row.loads_per_mac is not None and row.loads_per_mac < 0.2


def test_the_command_prints_a_table_rows_and_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = compiled.Loop(8, 8, 10, 2, ("the loop",))
    found = compiled.Compiled(120, 0, 0, 16384, 0.5, loop)
    monkeypatch.setattr("clconv.isa.report.compiled", lambda source, target: found)
    code, text = answer("n32c128i28x28k128f1x1", "--target", "amd:gfx90a,dg2", "--asm")
    assert code == 0 and "amd:gfx90a" in text and "intel:dg2" in text and "80%" in text and "the loop" in text
    assert "a model, not a measurement" in text and "Arc A770, 17.2 TFLOP/s (fp32), 560 GB/s" in text
    code, text = answer("n32c128i28x28k128f3x3p1", "--target", "gfx90a", "--algorithm", "gemm", "--json")
    (row,) = json.loads(text)
    assert code == 0 and {"target", "entry", "algorithm", "registers", "spills", "scratch_bytes", "local_bytes", "occupancy"} <= set(row)
    assert (row["target"], row["mac_share"]) == ("amd:gfx90a", 0.8) and 0 < row["modelled_fraction"] < 1


def test_devices_of_targets_are_gpus() -> None:
    assert all(not target.traits.is_cpu and target.traits.gpu_class != DeviceTraits().gpu_class for target in TARGETS)
