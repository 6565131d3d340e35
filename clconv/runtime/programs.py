"""Rendered kernels to built programs: few of them, kept in memory and, for drivers without a cache of their own, on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pyopencl as cl
import pyopencl._cl as _cl

from clconv.codegen.plan import KernelSource
from clconv.codegen.render import RenderedKernel, numbered
from clconv.device import DeviceTraits
from clconv.errors import BuildError, DeviceError
from clconv.runtime.context import traits_of
from clconv.runtime.failure import device_error

OPTIONS = ("-cl-std=CL1.2", "-cl-mad-enable", "-w")  # -w: some drivers count warnings on stderr
KERNELS_PER_PROGRAM = 32
LONGEST_LOG = 4000
MAGIC = b"clconv program 1\n"
Reproduce = str | Mapping[str, str]

log = logging.getLogger(__name__)


@dataclass
class Statistics:
    """What was built and loaded in this process, of all contexts together; rendered are kernels that no earlier process had."""

    kernels_rendered: int = 0
    kernels_built: int = 0
    programs_built: int = 0
    programs_loaded: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, kernels_built: int = 0, programs_built: int = 0, programs_loaded: int = 0, kernels_rendered: int = 0) -> None:
        with self._lock:
            self.kernels_rendered += kernels_rendered
            self.kernels_built += kernels_built
            self.programs_built += programs_built
            self.programs_loaded += programs_loaded

    def reset(self) -> None:
        with self._lock:
            self.kernels_rendered = self.kernels_built = self.programs_built = self.programs_loaded = 0


statistics = Statistics()


class BinaryCache:
    """Programs as the driver compiled them, one file each, in a directory that only its owner may write.

    A file is MAGIC, SHA-256 over key and binary, binary. The driver never sees a binary whose hash is wrong: a truncated one can crash
    the process. Whatever goes wrong, `load` gives None and `store` does nothing. Without `durable`, a power failure may lose what was
    stored last: right for what is quickly made again.
    """

    def __init__(self, directory: Path, durable: bool = True) -> None:
        self.directory, self.durable = directory, durable

    def path(self, key: str) -> Path:
        return self.directory / key

    def load(self, key: str) -> bytes | None:
        """The binary stored under `key`, or None when there is none that can be trusted."""
        try:
            if not self.path(key).exists():
                return None
            self._check_owner()
            content = self.path(key).read_bytes()
        except OSError as error:
            log.debug("program cache: cannot read %s: %s", self.path(key), error)
            return None
        head, binary = content[: len(MAGIC) + 32], content[len(MAGIC) + 32 :]
        if head != MAGIC + _seal(key, binary):
            log.debug("program cache: %s is damaged, building from source", self.path(key))
            return None
        return binary

    def store(self, key: str, binary: bytes) -> None:
        """Writes aside and renames, so that other processes see all of the file or none of it."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_owner()
            handle, temporary = tempfile.mkstemp(dir=self.directory, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(MAGIC + _seal(key, binary) + binary)
                    file.flush()
                    if self.durable:
                        os.fsync(file.fileno())
                os.replace(temporary, self.path(key))
            except OSError:
                os.unlink(temporary)
                raise
        except OSError as error:
            log.debug("program cache: cannot write %s: %s", self.path(key), error)

    def _check_owner(self) -> None:
        """Binaries are run as code, hence only taken from where nobody else can put them."""
        if not hasattr(os, "getuid"):
            return
        status = self.directory.stat()
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{self.directory} can be written by others")


def _seal(key: str, binary: bytes) -> bytes:
    return hashlib.sha256(key.encode() + binary).digest()


def cache_directory() -> Path | None:
    """Where the library keeps files between runs: $CLCONV_CACHE_DIR, or the user's cache directory; None when the variable is empty."""
    chosen = os.environ.get("CLCONV_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    import platformdirs

    return Path(platformdirs.user_cache_dir("clconv"))


def binary_cache_for(traits: DeviceTraits) -> BinaryCache | None:
    """The disk cache for a device, or None.

    None for drivers that cache by themselves. With PoCL (20 kernels built and run once) a process takes 2.4 s cold, 0.07 s from PoCL's own
    cache and 0.02 to 0.05 s from binaries, but taking the binaries out of the driver costs another 2 s in the cold process.
    """
    directory = cache_directory()
    if directory is None or traits.has_own_kernel_cache:
        return None
    return BinaryCache(directory / "programs")


class Programs:
    """The built kernels of one context and device. Safe to use from several threads.

    `cache` is None to keep nothing on disk. The usual way here is `programs_for`.
    """

    def __init__(self, context: cl.Context, device: cl.Device, cache: BinaryCache | None = None) -> None:
        self.context = context
        self.device = device
        self.cache = cache
        self._programs: dict[str, cl.Program] = {}
        self._sources: set[KernelSource] = set()
        self._lock = threading.Lock()

    def kernels(self, rendered: Iterable[RenderedKernel], reproduce: Reproduce = "") -> dict[str, cl.Program]:
        """Symbol -> built program that contains it; what is missing is built in one go.

        Many kernels share a program, because a program costs far more to build than a kernel. Programs are built one after the other: PoCL
        compiles under a lock, so two in two threads take as long as in one (measured). Raises BuildError for the first kernel that does
        not compile; `reproduce` is the command its message ends with, or one by symbol. Raises DeviceError where the compiler has
        nothing to say and the device fails.
        """
        wanted = {kernel.symbol: kernel for kernel in rendered}
        with self._lock:
            # Sorted, so that the same set makes the same program, and finds it on disk, whatever the order it is asked in.
            missing = [wanted[symbol] for symbol in sorted(wanted.keys() - self._programs.keys())]
            for start in range(0, len(missing), KERNELS_PER_PROGRAM):
                self._programs.update(self._obtain(missing[start : start + KERNELS_PER_PROGRAM], reproduce))
            self._sources.update(kernel.source for kernel in missing)
            return {symbol: self._programs[symbol] for symbol in wanted}

    def has(self, symbols: Iterable[str]) -> bool:
        """Whether all of these kernels are built already."""
        return self._programs.keys() >= set(symbols)

    def has_seen(self, source: KernelSource) -> bool:
        """Whether some kernel of this source is built; where templates are edited it may be another one than `source` gives now."""
        return source in self._sources

    def _obtain(self, kernels: Sequence[RenderedKernel], reproduce: Reproduce) -> dict[str, cl.Program]:
        source = "\n".join(kernel.text for kernel in kernels)
        program = self._load(source)
        if program is None:
            try:
                program = self._build(source, len(kernels))
            except _Refused as refused:
                if len(kernels) > 1:
                    return self._build_singly(kernels, reproduce)
                raise self._failure(kernels[0], refused, reproduce) from refused.error
        return dict.fromkeys((kernel.symbol for kernel in kernels), program)

    def _build_singly(self, kernels: Sequence[RenderedKernel], reproduce: Reproduce) -> dict[str, cl.Program]:
        """Finds the kernel at fault. When each builds alone (together they exceeded something), the single programs serve."""
        programs: dict[str, cl.Program] = {}
        for kernel in kernels:
            programs.update(self._obtain([kernel], reproduce))
        return programs

    def _build(self, source: str, kernels: int) -> cl.Program:
        begin = time.perf_counter()
        # The class behind cl.Program: building through cl.Program itself brings PyOpenCL's own disk cache, which fails on damaged
        # entries and stale locks, and a Python warning for every remark of the compiler.
        program = None
        try:
            program = _cl._Program(self.context, source)
            program._build(" ".join(OPTIONS).encode(), [self.device])
        except cl.Error as error:
            raise _Refused(error, self._build_log(program) if program is not None else "") from error
        statistics.add(kernels_built=kernels, programs_built=1)
        log.debug("built %d kernels in one program, %.3f s", kernels, time.perf_counter() - begin)
        self._store(source, program)
        return cl.Program(program)

    def _build_log(self, program: _cl._Program) -> str:
        try:
            text = str(program.get_build_info(self.device, cl.program_build_info.LOG)).strip()
        except (cl.Error, UnicodeDecodeError):
            text = ""
        if len(text) > LONGEST_LOG:
            text = f"{text[:LONGEST_LOG]}\n... ({len(text) - LONGEST_LOG} more characters)"
        return text

    def _load(self, source: str) -> cl.Program | None:
        binary = self.cache.load(self._key(source)) if self.cache else None
        if not binary:
            return None
        try:
            program = _cl._Program(self.context, [self.device], [binary])
            program._build(" ".join(OPTIONS).encode(), [self.device])
        except cl.Error as error:
            log.debug("program cache: the driver refused a binary, building from source: %s", error)
            return None
        statistics.add(programs_loaded=1)
        return cl.Program(program)

    def _store(self, source: str, program: _cl._Program) -> None:
        if self.cache is None:
            return
        try:
            # One entry for each device of the context; the program is built for ours only.
            devices = cast("list[cl.Device]", program.get_info(cl.program_info.DEVICES))
            binaries = cast("list[bytes]", program.get_info(cl.program_info.BINARIES))
            binary = binaries[devices.index(self.device)]
        except cl.Error as error:
            log.debug("program cache: the driver gave no binary: %s", error)
            return
        if binary:
            self.cache.store(self._key(source), binary)

    def _key(self, source: str) -> str:
        traits = traits_of(self.device)
        return hashlib.sha256(repr((source, OPTIONS, traits.name, traits.platform, traits.driver)).encode()).hexdigest()

    def _failure(self, kernel: RenderedKernel, refused: _Refused, reproduce: Reproduce) -> BuildError | DeviceError:
        """A BuildError where the compiler refused the source; a DeviceError where it never came to that (no memory, no resources)."""
        traits, name = traits_of(self.device), f"{kernel.source.template}.cl.mako"
        if not refused.log and refused.error.code != cl.status_code.BUILD_PROGRAM_FAILURE:
            return device_error(f"build kernel {kernel.source.entry} of template {name}", refused.error, self.device)
        command = reproduce if isinstance(reproduce, str) else reproduce.get(kernel.symbol, "")
        parts = [
            f"kernel {kernel.source.entry} of template {name} does not build on {traits.label}, driver {traits.driver}",
            f"options: {' '.join(OPTIONS)}",
            f"{refused.error}\n{refused.log}",
            f"source:\n{numbered(kernel.text)}",
        ]
        return BuildError("\n".join(parts + ([f"reproduce: {command}"] if command else [])))


class _Refused(Exception):
    """A source that the driver did not build, with its error and the compiler's log."""

    def __init__(self, error: cl.Error, log: str) -> None:
        super().__init__(log)
        self.error, self.log = error, log


_registry: dict[tuple[cl.Context, cl.Device], Programs] = {}
_registry_lock = threading.Lock()


def programs_for(context: cl.Context, device: cl.Device) -> Programs:
    """The programs of `context` on `device`, which live as long as the process: building again costs more than keeping them.

    >>> queue = default_queue()                                                              # doctest: +SKIP
    >>> programs_for(queue.context, queue.device).kernels([render(source)], "clconv source ...")  # doctest: +SKIP
    {'conv_direct_0f3a6c1d2e4b': <pyopencl.Program object at ...>}
    """
    with _registry_lock:
        if (context, device) not in _registry:
            _registry[context, device] = Programs(context, device, binary_cache_for(traits_of(device)))
        return _registry[context, device]
