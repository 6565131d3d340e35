"""Rendered kernels, kept between processes: rendering them takes longer than all else that a warm start does."""

from __future__ import annotations

import hashlib
import json
from functools import cache, lru_cache
from pathlib import Path

from clconv.codegen.plan import KernelSource
from clconv.codegen.render import Argument, RenderedKernel, render, template_folder
from clconv.runtime.programs import BinaryCache, cache_directory, statistics


def rendered_text(source: KernelSource, directory: str | None = None) -> RenderedKernel:
    """As `codegen.render.render`, from the disk where this source has been rendered before. Edited templates are always rendered."""
    return render(source, directory) if directory else _kept(source)


@lru_cache(maxsize=4096)
def _kept(source: KernelSource) -> RenderedKernel:
    folder = cache_directory()
    texts = BinaryCache(folder / "texts", durable=False) if folder else None
    if texts is None:
        return render(source)
    key = hashlib.sha256(repr((_origin(), source)).encode()).hexdigest()
    if content := texts.load(key):
        symbol, text, arguments = json.loads(content)
        return RenderedKernel(symbol, text, tuple(Argument(*argument) for argument in arguments), source)
    kernel = render(source)
    statistics.add(kernels_rendered=1)
    texts.store(key, json.dumps([kernel.symbol, kernel.text, [(a.name, a.kind) for a in kernel.arguments]]).encode())
    return kernel


@cache
def _origin() -> tuple[tuple[str, int, int], ...]:
    """What texts depend on besides their source: the templates, and the modules whose values and functions these use."""
    package = Path(__file__).resolve().parents[1]
    files = [f for folder in (template_folder(), package / "codegen", package / "algorithms") for f in sorted(folder.glob("*.*"))]
    return tuple((f.name, (status := f.stat()).st_size, status.st_mtime_ns) for f in files)
