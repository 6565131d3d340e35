"""Kernels to programs: what is built, what is found again, and what happens when the disk or the compiler fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyopencl as cl
import pytest

from clconv.codegen.plan import KernelSource, names
from clconv.codegen.render import RenderedKernel, render
from clconv.device import DeviceTraits
from clconv.errors import BuildError
from clconv.runtime import programs
from clconv.runtime.context import default_queue, traits_of
from clconv.runtime.programs import BinaryCache, Programs, binary_cache_for, programs_for, statistics

SCALE = """\
## y = FACTOR x; one work-item an element
__kernel WORK_GROUP void scale(__global const real *x, __global real *y, int n) {
    int i = get_global_id(0);
    if (i < n) STORE(y, i, LOAD(x, i) * FACTOR);
}
"""
BROKEN = """\
__kernel WORK_GROUP void broken(__global real *y) {
    y[0] = never_declared;
}
"""
KEY = "0" * 64


@pytest.fixture
def templates(tmp_path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "scale.cl.mako").write_text(SCALE)
    (folder / "broken.cl.mako").write_text(BROKEN)
    return folder


@pytest.fixture
def cache(tmp_path) -> BinaryCache:
    return BinaryCache(tmp_path / "cache" / "programs")


@pytest.fixture(scope="module")
def first_build(tmp_path_factory) -> BinaryCache:
    """A disk cache with one program in it: the kernel that doubles."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "scale.cl.mako").write_text(SCALE)
    filled = BinaryCache(folder / "programs")
    fresh(filled).kernels([scale(folder, 2)])
    return filled


@pytest.fixture
def filled(first_build, cache) -> BinaryCache:
    """A copy of it, to be read or damaged."""
    shutil.copytree(first_build.directory, cache.directory)
    return cache


class Since:
    """What was built and loaded since this was made or reset; the process's own statistics go on counting."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.start = self.now()

    @staticmethod
    def now() -> tuple[int, int, int]:
        return statistics.kernels_built, statistics.programs_built, statistics.programs_loaded

    @property
    def counts(self) -> tuple[int, ...]:
        """Kernels built, programs built, programs loaded from disk."""
        return tuple(now - then for now, then in zip(self.now(), self.start, strict=True))


@pytest.fixture
def built() -> Since:
    return Since()


def scale(templates: Path, factor: int) -> RenderedKernel:
    return render(KernelSource("scale", "scale", names(FACTOR=f"{factor}.0f")), directory=str(templates))


def broken(templates: Path) -> RenderedKernel:
    return render(KernelSource("broken", "broken"), directory=str(templates))


def fresh(cache: BinaryCache | None = None) -> Programs:
    queue = default_queue()
    return Programs(queue.context, queue.device, cache)


def run(program: cl.Program, symbol: str) -> list[float]:
    """What the kernel makes of 1, 2, 3."""
    queue = default_queue()
    x = np.array([1, 2, 3], np.float32)
    y = np.full_like(x, np.nan)
    flags = cl.mem_flags
    source = cl.Buffer(queue.context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=x)
    target = cl.Buffer(queue.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=y)
    cl.Kernel(program, symbol)(queue, (3,), (1,), source, target, np.int32(3))
    cl.enqueue_copy(queue, y, target)
    return y.tolist()


def check(kernels: dict[str, cl.Program], kernel: RenderedKernel, factor: int) -> None:
    assert run(kernels[kernel.symbol], kernel.symbol) == [factor, 2 * factor, 3 * factor]


def files(cache: BinaryCache) -> list[Path]:
    return sorted(cache.directory.iterdir()) if cache.directory.is_dir() else []


def test_only_what_is_missing_is_built(templates, filled, built):
    """Here and on disk: the kernel that doubles is loaded, the other one is not found and built."""
    mine = fresh(filled)
    two, three = scale(templates, 2), scale(templates, 3)
    first = mine.kernels([two])
    both = mine.kernels([three, two])
    assert both[two.symbol] is first[two.symbol]
    check(both, two, 2)
    check(both, three, 3)
    assert built.counts == (1, 1, 1)
    mine.kernels([two, three])
    assert mine.kernels([]) == {}
    assert built.counts == (1, 1, 1)


def test_kernels_of_one_entry_name_share_programs_that_a_second_process_loads(templates, cache, built, monkeypatch):
    """So many kernels a program and no more, whatever the order in which they are asked for."""
    assert programs.KERNELS_PER_PROGRAM == 32
    monkeypatch.setattr(programs, "KERNELS_PER_PROGRAM", 2)
    kernels = [scale(templates, i) for i in range(2, 5)]
    found = fresh(cache).kernels([*kernels, kernels[0]])
    assert set(found) == {kernel.symbol for kernel in kernels}
    assert len({id(program) for program in found.values()}) == 2
    assert built.counts == (3, 2, 0)
    built.reset()
    again = fresh(BinaryCache(cache.directory)).kernels(kernels[::-1])
    assert built.counts == (0, 0, 2)
    for programs_of in (found, again):
        for factor, kernel in enumerate(kernels, 2):
            check(programs_of, kernel, factor)


def test_threads_that_want_the_same_kernel_build_it_once(templates, built):
    mine, two = fresh(), scale(templates, 2)
    found: list[dict[str, cl.Program]] = []
    threads = [threading.Thread(target=lambda: found.append(mine.kernels([two]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(f[two.symbol]) for f in found}) == 1 and len(found) == 4
    assert built.counts == (1, 1, 0)


def test_one_registry_entry_per_context_and_device():
    queue = default_queue()
    mine = programs_for(queue.context, queue.device)
    assert programs_for(queue.context, queue.device) is mine
    other = cl.Context([queue.device])
    assert programs_for(other, queue.device) is not mine


def test_statistics_add_and_reset():
    mine = programs.Statistics()
    mine.add(kernels_built=3, programs_built=1)
    mine.add(kernels_built=2, programs_loaded=4)
    assert (mine.kernels_built, mine.programs_built, mine.programs_loaded) == (5, 1, 4)
    mine.reset()
    assert mine == programs.Statistics()


# The disk cache


def test_files_are_private_and_nothing_else_is_left(first_build):
    cache = first_build
    (file,) = files(cache)
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o077 == 0
    assert len(file.name) == 64


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def other_magic(file: Path) -> None:
    file.write_bytes(b"X" + file.read_bytes()[1:])


def foreign(file: Path) -> None:
    file.write_bytes(b"a text that somebody put here\n" * 50)


def entry_of_another_key(file: Path) -> None:
    BinaryCache(file.parent).store(KEY, b"sealed for another key")
    os.replace(file.parent / KEY, file)


def refused_by_the_driver(file: Path) -> None:
    BinaryCache(file.parent).store(file.name, b"well sealed, but no program")


# The test after this one has the others, which need no build to be seen.
@pytest.mark.parametrize(
    "damage",
    [
        refused_by_the_driver,
        *(
            pytest.param(damage, marks=pytest.mark.exhaustive)
            for damage in (truncate, empty, flip_a_bit, other_magic, foreign, entry_of_another_key)
        ),
    ],
)
def test_a_damaged_file_is_built_again_and_replaced(templates, filled, built, damage):
    two = scale(templates, 2)
    (file,) = files(filled)
    damage(file)
    built.reset()
    check(fresh(filled).kernels([two]), two, 2)
    assert built.counts == (1, 1, 0)
    check(fresh(filled).kernels([two]), two, 2)
    assert built.counts == (1, 1, 1)


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, other_magic, foreign, entry_of_another_key])
def test_damaged_binaries_are_kept_from_the_driver(cache, damage):
    key = "1" * 64
    cache.store(key, b"binary" * 100)
    assert cache.load(key) == b"binary" * 100
    damage(cache.path(key))
    assert cache.load(key) is None


def test_another_driver_version_builds_anew(templates, filled, built, monkeypatch):
    updated = replace(traits_of(default_queue().device), driver="of tomorrow")
    monkeypatch.setattr(programs, "traits_of", lambda device: updated)
    fresh(filled).kernels([scale(templates, 2)])
    assert built.counts == (1, 1, 0)
    assert len(files(filled)) == 2


def test_a_directory_that_cannot_be_made_is_no_error(templates, tmp_path, built):
    (tmp_path / "file").write_text("in the way")
    cache = BinaryCache(tmp_path / "file" / "programs")
    check(fresh(cache).kernels([scale(templates, 2)]), scale(templates, 2), 2)
    assert built.counts == (1, 1, 0)


def test_a_full_disk_is_no_error_and_leaves_no_temporary_file(cache, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    program = SimpleNamespace(get_info={cl.program_info.DEVICES: [default_queue().device], cl.program_info.BINARIES: [b"binary"]}.get)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        fresh(cache)._store("source", program)
        assert cache.directory.is_dir() and files(cache) == []
    fresh(cache)._store("source", program)
    assert len(files(cache)) == 1


def test_a_driver_that_keeps_its_binaries_is_no_error(cache):
    def fail(what: int) -> None:
        raise cl.LogicError(cl._cl._ErrorRecord(msg="planted", code=cl.status_code.INVALID_OPERATION, routine="planted"))

    fresh(cache)._store("source", SimpleNamespace(get_info=fail))
    assert files(cache) == []


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX permissions")
def test_a_directory_that_others_may_write_is_not_trusted(cache):
    cache.store(KEY, b"binary")
    cache.directory.chmod(0o777)
    assert cache.load(KEY) is None
    cache.store("1" * 64, b"binary")
    assert len(files(cache)) == 1


def test_the_directory_comes_from_the_environment(tmp_path, monkeypatch):
    traits = DeviceTraits.gpu()
    monkeypatch.setenv("CLCONV_CACHE_DIR", str(tmp_path / "here"))
    cache = binary_cache_for(traits)
    assert cache is not None and cache.directory == tmp_path / "here" / "programs"
    monkeypatch.delenv("CLCONV_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    usual = binary_cache_for(traits)
    assert usual is not None and usual.directory.parent.name == "clconv"


def test_an_empty_variable_switches_the_disk_cache_off(templates, tmp_path, monkeypatch, built):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("CLCONV_CACHE_DIR", "")
    cache = binary_cache_for(DeviceTraits.gpu())
    assert cache is None
    fresh(cache).kernels([scale(templates, 2)])
    assert built.counts == (1, 1, 0)
    assert sorted(tmp_path.rglob("*")) == before


def test_drivers_with_a_cache_of_their_own_are_left_to_it():
    assert binary_cache_for(DeviceTraits(has_own_kernel_cache=True)) is None


def test_readers_see_whole_files_while_others_write(cache):
    """Two writers of one key, each with its own content: a reader finds the one or the other, never a mixture and never a part."""
    contents = [bytes([i]) * 20000 for i in (1, 2)]
    cache.store(KEY, contents[0])

    def write(content: bytes) -> None:
        for _ in range(30):
            BinaryCache(cache.directory).store(KEY, content)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    seen = [cache.load(KEY)]
    while any(writer.is_alive() for writer in writers):
        seen.append(cache.load(KEY))
    for writer in writers:
        writer.join()
    assert all(binary in contents for binary in seen)
    assert [file.name for file in files(cache)] == [KEY]


PROCESS = """
import sys
from pathlib import Path
from clconv.codegen.plan import KernelSource, names
from clconv.codegen.render import render
from clconv.runtime.context import default_queue
from clconv.runtime.programs import BinaryCache, Programs
queue = default_queue(sys.argv[3])
kernel = render(KernelSource("scale", "scale", names(FACTOR="2.0f")), directory=sys.argv[1])
Programs(queue.context, queue.device, BinaryCache(Path(sys.argv[2]))).kernels([kernel])
"""


def test_two_processes_fill_one_cache(templates, cache, built):
    command = [sys.executable, "-c", PROCESS, str(templates), str(cache.directory), default_queue().device.name]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint.decode()
    two = scale(templates, 2)
    check(fresh(cache).kernels([two]), two, 2)
    assert built.counts == (0, 0, 1)


# Builds that fail


def test_the_message_names_device_log_source_and_command(templates, built):
    with pytest.raises(BuildError) as caught:
        fresh().kernels([scale(templates, 2), broken(templates), scale(templates, 3)], reproduce="clconv source 'conv n1'")
    message = str(caught.value)
    device = default_queue().device
    assert "kernel broken of template broken.cl.mako does not build" in message
    assert device.name.strip() in message and traits_of(device).driver in message
    assert "never_declared" in message.split("source:")[0], "the compiler's own words"
    line = next(i for i, text in enumerate(broken(templates).text.splitlines(), 1) if "never_declared" in text)
    assert f"{line:4d}      y[0] = never_declared;" in message
    assert f":{line}:" in message.split("source:")[0], "the compiler counts lines as the listing does"
    assert message.endswith("reproduce: clconv source 'conv n1'")
    assert "FACTOR" not in message, "kernels that are not at fault are not shown"


def test_a_failed_build_is_not_remembered(templates, filled):
    mine = fresh(filled)
    for _ in range(2):
        with pytest.raises(BuildError):
            mine.kernels([broken(templates)])
    check(mine.kernels([scale(templates, 2)]), scale(templates, 2), 2)


def test_nothing_to_reproduce_is_not_mentioned(templates):
    with pytest.raises(BuildError) as caught:
        fresh().kernels([broken(templates)])
    assert "reproduce" not in str(caught.value)


def test_a_long_log_is_cut(templates, monkeypatch):
    monkeypatch.setattr(programs, "LONGEST_LOG", 20)
    with pytest.raises(BuildError, match=r"\.\.\. \(\d+ more characters\)"):
        fresh().kernels([broken(templates)])


def test_kernels_that_only_fail_together_are_built_singly(templates, built, monkeypatch):
    """A compiler may give up on a long program whose kernels are all right."""
    original = Programs._build

    def limited(self: Programs, source: str, kernels: int) -> cl.Program:
        if kernels > 1:
            raise programs._Refused(cl.RuntimeError(), "too long")
        return original(self, source, kernels)

    monkeypatch.setattr(Programs, "_build", limited)
    two, three = scale(templates, 2), scale(templates, 3)
    found = fresh().kernels([two, three])
    check(found, two, 2)
    check(found, three, 3)
    assert built.counts == (2, 2, 0)
