"""Rendered kernels that are kept on disk: found by the next process, and never where what they came from has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from clconv.codegen.plan import KernelSource, names
from clconv.codegen.render import render
from clconv.runtime import texts
from clconv.runtime.programs import statistics
from clconv.runtime.texts import rendered_text

SOURCE = KernelSource("pack_weights", "pack_weights", names(WIDE=16, BLOCK_IN=8), names(joint=""))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLCONV_CACHE_DIR", str(tmp_path))
    texts._kept.cache_clear()
    yield tmp_path / "texts"
    texts._kept.cache_clear()


def again(times: int) -> None:
    """What another process gets is what is rendered, and so often it is rendered anew."""
    texts._kept.cache_clear()
    before = statistics.kernels_rendered
    assert rendered_text(SOURCE) == render(SOURCE)
    assert statistics.kernels_rendered - before == times


def test_the_next_process_finds_what_this_one_rendered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again(1)
    (file,) = folder.iterdir()
    monkeypatch.setattr(texts, "render", None)
    texts._kept.cache_clear()
    kernel = rendered_text(SOURCE)
    monkeypatch.undo()
    assert kernel == render(SOURCE) and file.exists()


def test_a_damaged_file_is_made_again(folder: Path) -> None:
    again(1)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    again(1)
    assert file.read_bytes() == whole


def test_texts_of_other_templates_are_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again(1)
    monkeypatch.setattr(texts, "_origin", lambda: (("pack_weights.cl.mako", 1, 2),))
    again(1)
    assert len(list(folder.iterdir())) == 2


def test_edited_templates_and_no_folder_keep_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = tmp_path / "edited"
    edited.mkdir()
    template = (Path(texts.template_folder()) / "pack_weights.cl.mako").read_text()
    (edited / "pack_weights.cl.mako").write_text(template + "\n// edited\n")
    assert rendered_text(SOURCE, str(edited)).text != render(SOURCE).text
    monkeypatch.setenv("CLCONV_CACHE_DIR", "")
    texts._kept.cache_clear()
    assert rendered_text(SOURCE) == render(SOURCE)
    assert not folder.exists()
