"""Templates to OpenCL C. The only place that knows Mako, and where a template's constants become a header of `#define`s."""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clconv.codegen.plan import KernelSource
from clconv.errors import TemplateError

STORAGE = {
    "float32": {
        "real": "float",
        "LOAD(p, i)": "((p)[i])",
        "STORE(p, i, v)": "((p)[i] = (v))",
    },
    "float16": {
        "real": "half",
        "LOAD(p, i)": "vload_half((i), (p))",
        "STORE(p, i, v)": "vstore_half((v), (i), (p))",
    },
}


@dataclass(frozen=True)
class Argument:
    """One argument of a rendered kernel: `kind` is "buffer", "local", or the C type of a scalar."""

    name: str
    kind: str


@dataclass(frozen=True)
class RenderedKernel:
    """Self-contained OpenCL C: everything it `#define`s it also `#undef`s, and `symbol` is unique to its text, so that many can be
    concatenated into one program."""

    symbol: str
    text: str
    arguments: tuple[Argument, ...]
    source: KernelSource


def check_directory(directory: str | None) -> None:
    if directory and not Path(directory).is_dir():
        raise TemplateError(f"kernels: {directory} is not a directory; give one that holds edited *.cl.mako files")


Stamp = tuple[tuple[str, int], ...]


def _stamp(directory: str | None) -> Stamp:
    """What changes when a template in `directory` does. Mako's own check counts whole seconds."""
    if not directory:
        return ()
    check_directory(directory)
    return tuple(sorted((f.name, f.stat().st_mtime_ns) for f in Path(directory).glob("*.mako")))


@lru_cache(maxsize=8)
def _lookup(directory: str | None, stamp: Stamp) -> Any:
    from mako.lookup import TemplateLookup  # here, because it takes as long to import as all of this library

    folders = [directory] if directory else []
    folders.append(str(template_folder()))
    return TemplateLookup(directories=folders, strict_undefined=True, filesystem_checks=False)


def storage_macros(dtype: str, vector: int | None) -> dict[str, str]:
    """`real`, scalar and (with `vector` lanes) vector loads and stores of the storage type; arithmetic is always float."""
    macros = dict(STORAGE[dtype])
    if vector:
        macros["vec"] = f"float{vector}" if vector > 1 else "float"
        if dtype == "float32":
            macros["LOADV(p, i)"] = "(*(__global const vec *)((p) + (i)))"
            macros["STOREV(p, i, v)"] = "(*(__global vec *)((p) + (i)) = (v))"
        else:
            macros["LOADV(p, i)"] = f"vload_half{vector}(0, (p) + (i))"
            macros["STOREV(p, i, v)"] = f"vstore_half{vector}((v), 0, (p) + (i))"
    return macros


def header(source: KernelSource) -> dict[str, str]:
    """The names the kernel's text may use, each with its replacement."""
    constants = dict(source.constants)
    defines = {key: str(value) for key, value in constants.items()}
    vector = constants.get("BLOCK")
    defines.update(storage_macros(source.dtype, int(vector) if isinstance(vector, int) else None))
    group = (*source.group, 1, 1, 1)[:3]
    defines["WORK_GROUP"] = f"__attribute__((reqd_work_group_size({group[0]}, {group[1]}, {group[2]})))"
    return defines


def render(source: KernelSource, directory: str | None = None) -> RenderedKernel:
    """The OpenCL C of `source`; templates in `directory` go before the library's own, and are read again whenever they change.

    Raises TemplateError with the template's name and line when it does not render or its kernel is not found.
    """
    return _render(source, directory, _stamp(directory))


@lru_cache(maxsize=4096)
def _render(source: KernelSource, directory: str | None, stamp: Stamp) -> RenderedKernel:
    name = f"{source.template}.cl.mako"
    arguments = {key: value for key, value in source.arguments}
    template = None
    try:
        template = _lookup(directory, stamp).get_template(name)
        body = template.render(**arguments)
    except Exception as error:  # Mako wraps whatever the template raised: report its place in the template
        line = _line_of(error, template.source if template else "")
        where = f" at line {line}" if line else ""
        shown = _excerpt(template.source if template else _text_of(error), line)
        raise TemplateError(f"template {name}{where}: {type(error).__name__}: {error}{shown}\nrender arguments: {arguments}") from error
    body = re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"
    defines = header(source)
    digest = hashlib.sha256((repr(sorted(defines.items())) + body).encode()).hexdigest()[:12]
    symbol = f"{source.entry}_{digest}"
    defines[source.entry] = symbol
    head = "".join(f"#define {key} {value}\n" for key, value in defines.items())
    tail = "".join(f"#undef {key.split('(')[0]}\n" for key in defines)
    return RenderedKernel(symbol, f"// {source.template}\n{head}\n{body}\n{tail}", parse_arguments(body, source), source)


def _line_of(error: Exception, text: str) -> int | None:
    """The template's line that `error` comes from; of an undefined name, which Mako looks up before the first line, the first use."""
    name = re.fullmatch(r"'(\w+)' is not defined", str(error)) if isinstance(error, NameError) else None
    if name is None:
        from mako import exceptions

        line: int | None = exceptions.RichTraceback().lineno
        return line
    lines = (re.sub(r"^\s*##.*", "", line) for line in text.splitlines())
    return next((i for i, line in enumerate(lines, 1) if re.search(rf"\b{name[1]}\b", line)), None)


def _excerpt(text: str, line: int | None) -> str:
    """The template's lines around `line`, numbered."""
    if not line or not text:
        return ""
    first = max(0, line - 3)
    return "\n" + "\n".join(numbered(text).splitlines()[first : line + 2])


def _text_of(error: Exception) -> str:
    """The text of a template that Mako could not even parse."""
    name = getattr(error, "filename", None)
    return Path(name).read_text() if name and Path(name).is_file() else ""


def parse_arguments(body: str, source: KernelSource) -> tuple[Argument, ...]:
    """Names and kinds of the kernel's arguments, read from its signature."""
    match = re.search(rf"__kernel[^;{{]*?\bvoid\s+{re.escape(source.entry)}\s*\(", body)
    if match is None:
        raise TemplateError(f"template {source.template}.cl.mako: no `__kernel ... void {source.entry}(` in the rendered text")
    depth, end = 1, match.end()
    while depth:
        if end == len(body):
            raise TemplateError(f"template {source.template}.cl.mako: the arguments of {source.entry} have no closing parenthesis")
        depth += {"(": 1, ")": -1}.get(body[end], 0)
        end += 1
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", body[match.end() : end - 1], flags=re.S)
    out = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name = part.replace("*", " ").split()[-1]
        if "*" in part:
            out.append(Argument(name, "local" if "__local" in part else "buffer"))
        else:
            out.append(Argument(name, part.replace("const", " ").split()[0]))
    return tuple(out)


def numbered(text: str) -> str:
    """`text` with line numbers, as compilers count them."""
    return "\n".join(f"{i:4d}  {line}" for i, line in enumerate(text.splitlines(), 1))


def template_folder() -> Path:
    """Where the library's templates are: the package clconv.kernels, or, for a checkout that is used as it lies, the folder beside it."""
    try:
        return Path(str(importlib.resources.files("clconv.kernels")))
    except ModuleNotFoundError:
        return Path(__file__).resolve().parents[2] / "kernels"


def template_names(directory: Path | None = None) -> list[str]:
    """Names of all templates that hold a kernel (`common` holds what they share)."""
    folder = directory or template_folder()
    return sorted(name for p in folder.glob("*.cl.mako") if (name := p.name.removesuffix(".cl.mako")) != "common")
