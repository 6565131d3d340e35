"""Templates to OpenCL C: the header of names, the kernel's arguments, Mako's traps, and messages that show the place of a mistake."""

from __future__ import annotations

import importlib.resources
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from clconv.algorithms import ALGORITHMS, for_problem
from clconv.codegen.plan import KernelCall, KernelSource, Scalar, names
from clconv.codegen.render import Argument, RenderedKernel, header, numbered, parse_arguments, render, storage_macros, template_names
from clconv.device import DeviceTraits
from clconv.errors import TemplateError
from clconv.problem import parse

KERNEL = "__kernel WORK_GROUP void toy(__global real *y) {\n    STORE(y, 0, 1.0f);\n}\n"

Write = Callable[..., RenderedKernel]


@pytest.fixture
def toy(tmp_path: Path) -> Write:
    """Render a template of the given text."""

    stamps = itertools.count(10**18, 10**6)

    def write(text: str, **more: object) -> RenderedKernel:
        (tmp_path / "toy.cl.mako").write_text(text)
        stamp = next(stamps)
        os.utime(tmp_path / "toy.cl.mako", ns=(stamp, stamp))  # file systems may count in coarse steps: two writes must differ
        return render(KernelSource("toy", "toy", **more), str(tmp_path))  # type: ignore[arg-type]

    return write


# The header


def test_constants_become_defines(toy: Write) -> None:
    text = toy(KERNEL, constants=names(STRIDE_H=2, SCALE="0.5f")).text
    assert "#define STRIDE_H 2\n" in text
    assert "#define SCALE 0.5f\n" in text


def test_whatever_is_defined_is_undefined(toy: Write) -> None:
    """Many kernels stand in one program: no name may reach the next."""
    text = toy(KERNEL, constants=names({"CEIL(a, b)": "(((a) + (b) - 1) / (b))"}, BLOCK=8)).text
    defined = re.findall(r"^#define (\w+)", text, re.M)
    undefined = re.findall(r"^#undef (\w+)$", text, re.M)
    assert sorted(defined) == sorted(undefined)
    assert {"real", "LOAD", "STOREV", "CEIL", "toy", "WORK_GROUP"} <= set(defined)


def test_the_group_size_is_stated_for_three_dimensions(toy: Write) -> None:
    assert "#define WORK_GROUP __attribute__((reqd_work_group_size(8, 4, 1)))\n" in toy(KERNEL, group=(8, 4)).text


def test_float16_is_loaded_and_stored_as_half() -> None:
    macros = storage_macros("float16", 8)
    assert macros["real"] == "half"
    assert macros["LOAD(p, i)"] == "vload_half((i), (p))"
    assert macros["STOREV(p, i, v)"] == "vstore_half8((v), 0, (p) + (i))"
    assert macros["vec"] == "float8", "arithmetic is float"


def test_vector_names_need_an_integer_block() -> None:
    assert "vec" not in header(KernelSource("t", "e", names(BLOCK="n")))
    assert header(KernelSource("t", "e", names(BLOCK=4)))["vec"] == "float4"
    assert header(KernelSource("t", "e", names(BLOCK=1)))["vec"] == "float"


def test_the_symbol_belongs_to_the_text(toy: Write) -> None:
    one, again = toy(KERNEL, constants=names(N=1)), toy(KERNEL, constants=names(N=1))
    other, edited = toy(KERNEL, constants=names(N=2)), toy(KERNEL.replace("1.0f", "2.0f"), constants=names(N=1))
    assert one == again
    assert len({one.symbol, other.symbol, edited.symbol}) == 3
    assert f"#define toy {one.symbol}\n" in one.text
    assert re.fullmatch(r"toy_[0-9a-f]{12}", one.symbol)


# Arguments

SIGNATURE = """\
/* void toy( in a comment is none */
__kernel WORK_GROUP
void toy(__global const real *restrict x,  // N, C, spatial (as stored)
         __global int *indices, /* one, two */
         __local float *tile,
         const int width, float rate, uint seed)
{
    int i = get_global_id(0);
}
"""


def test_arguments_are_read_from_the_signature() -> None:
    assert parse_arguments(SIGNATURE, KernelSource("toy", "toy")) == (
        Argument("x", "buffer"), Argument("indices", "buffer"), Argument("tile", "local"),
        Argument("width", "int"), Argument("rate", "float"), Argument("seed", "uint"),
    )  # fmt: skip


def test_a_kernel_may_take_nothing() -> None:
    assert parse_arguments("__kernel void toy() {}", KernelSource("toy", "toy")) == ()


def test_the_entry_is_found_among_several() -> None:
    text = "__kernel void toy_first(int a) {}\n__kernel void toy(int b) {}\n__kernel void toy_last(int c) {}\n"
    assert parse_arguments(text, KernelSource("toy", "toy")) == (Argument("b", "int"),)


def test_a_missing_kernel_is_named(toy: Write) -> None:
    with pytest.raises(TemplateError, match=r"template toy\.cl\.mako: no `__kernel \.\.\. void toy\(` in the rendered text"):
        toy("__kernel void other(int a) {}\n")


# What Mako does to a line: facts that template authors rely on


def test_a_line_that_starts_with_a_percent_is_control(toy: Write) -> None:
    text = toy("% for i in range(2):\n// pass ${i}\n% endfor\n" + KERNEL).text
    assert "// pass 0\n// pass 1\n" in text and "endfor" not in text


def test_two_percents_are_one(toy: Write) -> None:
    text = toy("__kernel void toy(int n) {\n    int i = n\n    %% 4;\n}\n").text
    assert "    % 4;\n" in text


def test_a_line_that_starts_with_two_hashes_vanishes(toy: Write) -> None:
    text = toy("## the problem\n" + KERNEL + "    ## and here\n#define ONE 1\n").text
    assert "problem" not in text and "and here" not in text
    assert "#define ONE 1" in text, "one hash is the preprocessor's"


def test_a_backslash_at_the_end_joins_lines(toy: Write) -> None:
    assert "#define TWO 1 + 1\n" in toy("#define TWO 1 + \\\n1\n" + KERNEL).text


def test_blank_lines_that_control_lines_leave_are_closed(toy: Write) -> None:
    assert "\n\n\n" not in toy("int a;\n\n% if True:\n\n\n\n% endif\n\n" + KERNEL).text


# Mistakes


def test_an_undefined_name_is_an_error_with_its_place(toy: Write) -> None:
    with pytest.raises(TemplateError) as caught:
        toy("// first\n## no tile_hight here\n// ${tile_hight}\n" + KERNEL, arguments=names(tile_height=3))
    message = str(caught.value)
    assert "template toy.cl.mako at line 3: NameError: 'tile_hight' is not defined" in message
    assert message.endswith("render arguments: {'tile_height': 3}")


def test_a_syntax_error_is_an_error_with_its_place(toy: Write) -> None:
    with pytest.raises(TemplateError, match=r"template toy\.cl\.mako at line 2: .*Exception: "):
        toy("// first\n% if True\n" + KERNEL)


def test_an_exception_inside_a_template_is_reported(toy: Write) -> None:
    with pytest.raises(TemplateError, match=r"template toy\.cl\.mako at line 2: ZeroDivisionError"):
        toy("// first\n// ${1 // 0}\n" + KERNEL)


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"template no_such\.cl\.mako"):
        render(KernelSource("no_such", "no_such"), str(tmp_path))


def test_numbered_counts_as_compilers_do() -> None:
    assert numbered("a\n\nb\n") == "   1  a\n   2  \n   3  b"


# Directories of edited templates

CONV = "conv n1c3i8x8k4f3x3p1"


def stages(directory: str | None = None) -> list[RenderedKernel]:
    """The kernels of the convolution that accepts everything."""
    problem, traits = parse(CONV), DeviceTraits.cpu(8)
    algorithm = for_problem(problem)[-1]
    calls = algorithm.plan(problem, traits, algorithm.defaults(problem, traits)).calls
    return [render(call.source, directory) for call in calls]


def test_an_edited_template_goes_before_the_librarys_own(tmp_path: Path) -> None:
    original = stages()[-1]
    name = f"{original.source.template}.cl.mako"
    shipped = importlib.resources.files("clconv.kernels").joinpath(name).read_text()
    (tmp_path / name).write_text(shipped + "\n// edited\n")
    edited = stages(str(tmp_path))
    assert "// edited" in edited[-1].text and edited[-1].symbol != original.symbol
    assert all(a == b for a, b in zip(edited, stages(), strict=True) if a.source.template != original.source.template)


def test_a_template_that_is_edited_again_is_read_again(toy: Write, tmp_path: Path) -> None:
    assert "1.0f" in toy(KERNEL).text
    file = tmp_path / "toy.cl.mako"
    before = file.stat().st_mtime_ns
    file.write_text(KERNEL.replace("1.0f", "2.0f"))
    os.utime(file, ns=(before + 10**6, before + 10**6))  # a millisecond later, however coarse the file system's clock is
    assert "2.0f" in render(KernelSource("toy", "toy"), str(tmp_path)).text


# The shipped templates


def test_every_template_is_some_algorithms() -> None:
    """A template of no algorithm is dead; the names of its parts start with the algorithm's. One is of the runtime, which joins kernels."""
    known = {a.name for a in ALGORITHMS} | {"common", "band", "gemm", "persistent", "transpose"}
    stray = [n for n in template_names() if not any(n == k or n.startswith(f"{k}_") for k in known)]
    assert not stray


def test_templates_open_with_a_description() -> None:
    folder = importlib.resources.files("clconv.kernels")
    for name in template_names():
        assert folder.joinpath(f"{name}.cl.mako").read_text().startswith("##"), name


@pytest.mark.parametrize("name", template_names())
def test_float_literals_are_floats(name: str) -> None:
    """A literal without `f` is a double, which many devices lack."""
    text = importlib.resources.files("clconv.kernels").joinpath(f"{name}.cl.mako").read_text()
    code = re.sub(r"##[^\n]*|//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    doubles = re.findall(r"(?<![\w.])\d+\.\d*(?:[eE][-+]?\d+)?(?![\w.])|(?<![\w.])\d+[eE][-+]?\d+(?![\w.])", code)
    assert not doubles
    assert not re.search(r"\bdouble\b", code)
    assert not re.search(r"\bfma\s*\(", code), "fma() is not inlined by some CPU compilers: write a += x * w"


def test_plans_are_values() -> None:
    """Equal, hashable, and the same again when made again."""
    problem, traits = parse(CONV), DeviceTraits.gpu()
    for algorithm in for_problem(problem):
        if algorithm.why_not(problem, traits) is None:
            params = algorithm.defaults(problem, traits)
            stored = problem.with_layouts(**algorithm.wants(problem, traits, params))
            assert algorithm.plan(stored, traits, params) == algorithm.plan(stored, traits, params)
            assert isinstance(hash(algorithm.plan(stored, traits, params)), int)


def test_global_sizes_are_whole_groups() -> None:
    call = KernelCall(KernelSource("t", "e", group=(8, 4, 1)), (13, 4, 0), (("n", 13), ("rate", Scalar("rate"))))
    assert call.global_size == (16, 4, 1)
