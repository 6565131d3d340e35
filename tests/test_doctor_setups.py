"""`clconv doctor` end to end on set-ups that are broken: an installation whose kernels come out wrong, or do not build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
POOL = "avgpool n2c17i7x5f3x3s2p1:nopad"
WRONG = ("rest < KERNEL_H ? rest : KERNEL_H", "rest < KERNEL_H - 1 ? rest : KERNEL_H - 1")
REFUSED = ("float line[COPIED];", "float line[no_such_name];")
Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.peers


@pytest.fixture
def clconv(tmp_path: Path) -> Command:
    """The command of an installation of its own, with nothing cached or recorded before."""
    package = tmp_path / "installed" / "clconv"
    shutil.copytree(ROOT / "clconv", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("kernels", "bench"):
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        **os.environ, "PYTHONPATH": str(package.parent), "CLCONV_CACHE_DIR": str(tmp_path / "cache"), "CLCONV_TUNING_DB": "",
    }  # fmt: skip

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", "from clconv.cli import main; main()", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def mutate(folder: Path, old: str, new: str) -> None:
    template = folder / "installed" / "clconv" / "kernels" / "pool_rows.cl.mako"
    text = template.read_text()
    assert old in text
    template.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("mistake", "told"), [(WRONG, "computes something else (max fwd, avg fwd)"), (REFUSED, "does not build (max fwd, avg fwd)")]
)
def test_a_broken_kernel_is_found_recorded_avoided_and_forgotten(
    clconv: Command, tmp_path: Path, mistake: tuple[str, str], told: str
) -> None:
    examination = ("doctor", "--algorithm", "pool_rows", "--no-speed")
    assert "pool_rows" in clconv("explain", POOL).stdout.split("refused")[0]
    mutate(tmp_path, *mistake)
    ill = clconv(*examination, code=1).stdout
    assert f"FAILED: {told}" in ill and "recorded: clconv passes over pool_rows" in ill and "NOT HEALTHY: 0 of 3" in ill
    passed_over = f"with this driver ({told}); run clconv doctor again after updating"
    assert passed_over in clconv("explain", POOL).stdout
    assert "forgotten" in clconv("doctor", "--forget").stdout
    assert "passed over" not in clconv("explain", POOL).stdout
    clconv(*examination, code=1)
    mutate(tmp_path, *reversed(mistake))
    assert "healthy: 3 of 3 cases right" in clconv(*examination).stdout
    assert "passed over" not in clconv("explain", POOL).stdout
