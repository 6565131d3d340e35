"""The tuning database: what it keeps, whose entry wins, and what happens to damaged, newer and contended files. No kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clconv.algorithms.conv_blocked import ConvBlockedParams
from clconv.device import DeviceTraits
from clconv.errors import DataError
from clconv.problem import MatmulProblem, parse
from clconv.problem.conv import Epilogue
from clconv.tensor import Blocked
from clconv.tuning import database
from clconv.tuning.database import VARIABLE, Database, Table, current
from clconv.tuning.entry import Entry, params_row, params_text, problem_key, storage_key

CPU = replace(DeviceTraits.cpu(8, 4), platform="Some OpenCL", driver="1.0")
PARAMS = ConvBlockedParams(2, 3, 2, 8)


def entry(problem: str = "conv n1c8i8x8k8f3x3p1", traits: DeviceTraits = CPU, seconds: float = 1e-3, stored: str = "x blocked 8") -> Entry:
    return Entry(
        problem, stored, "conv_blocked", params_row(PARAMS), seconds, "conv_blocked", 2e-3,
        traits.identity, traits.driver, traits.family, traits.kind,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "tuning.json"


# Keys


@pytest.mark.parametrize(
    "text, key",
    [
        ("n1c8i8x8k8f3x3p1", "conv n1c8i8x8k8f3x3p1"),
        ("conv n1c8i8x8k8f3x3p1+bias+relu+res", "conv n1c8i8x8k8f3x3p1"),
        ("n2c8i8x8k8f3x3p1:f16+leaky_relu(0.1)", "conv n2c8i8x8k8f3x3p1:f16"),
        ("deconv n1c8i4x4k6f2x2s2", "conv n1c6i8x8k8f2x2s2:bwd_d"),
        ("maxpool n1c8i8x8f2x2:idx", "maxpool n1c8i8x8f2x2:idx"),
    ],
)
def test_problems_that_want_the_same_kernels_share_a_key(text: str, key: str) -> None:
    assert problem_key(parse(text)) == key
    assert problem_key(parse(text).with_layouts(x=Blocked(8))) == key


def test_a_matrix_products_key_leaves_its_epilogue_out() -> None:
    bare = MatmulProblem(1, 10, 20, transpose_b=True)
    assert problem_key(replace(bare, epilogue=Epilogue(bias=True))) == problem_key(bare) == "matmul b1m1n10k20:nt"


def test_storage_leaves_out_what_is_prepared_and_halos() -> None:
    problem = parse("n1c8i8x8k8f3x3p1+bias+res")
    assert storage_key(problem, {"x": Blocked(8, ((1, 1), (1, 1)))}, frozenset({"w"})) == "x blocked 8"
    assert storage_key(problem, {}) == "x plain, w plain"


# Rows


def test_an_entry_survives_its_row() -> None:
    assert Entry.of_row(json.loads(json.dumps(entry().as_row()))) == entry()
    rejected = replace(entry(), default_seconds=None)
    assert Entry.of_row(json.loads(json.dumps(rejected.as_row()))) == rejected


@pytest.mark.parametrize(
    "change", [{"seconds": -1.0}, {"seconds": "1"}, {"params": [1]}, {"device": 3}, {"default_seconds": 0}, {"algorithm": None}], ids=str
)
def test_rows_that_nothing_wrote_are_no_entries(change: dict[str, object]) -> None:
    assert Entry.of_row({**entry().as_row(), **change}) is None
    assert Entry.of_row("entry") is None


def test_parameters_come_back_as_the_algorithms_own() -> None:
    assert entry().params_like(ConvBlockedParams(1, 1, 1, 1)) == PARAMS
    assert params_text(PARAMS) == "tile_h=2, tile_w=3, tile_k=2, unroll=8, chunk=0"


@dataclass(frozen=True)
class Renamed:
    rows: int
    tile_w: int
    tile_k: int
    unroll: int


def test_parameters_with_other_fields_or_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes \(rows, "):
        entry().params_like(Renamed(1, 1, 1, 1))
    text = replace(entry(), params=(("tile_h", "2"), *entry().params[1:]))
    with pytest.raises(ValueError, match="other types"):
        text.params_like(PARAMS)
    with pytest.raises(ValueError, match=r"takes \(\)"):
        entry().params_like(None)


# Files


def test_entries_are_added_replaced_and_removed(path: Path) -> None:
    base = Database(path)
    assert base.entries() == []
    base.add([entry("conv a"), entry("conv b")])
    base.add([entry("conv a", seconds=5e-4), entry("conv a", stored="x plain")])
    found = {(e.problem, e.stored): e.seconds for e in base.entries()}
    assert found == {("conv a", "x blocked 8"): 5e-4, ("conv a", "x plain"): 1e-3, ("conv b", "x blocked 8"): 1e-3}
    base.remove([entry("conv a")])
    assert {(e.problem, e.stored) for e in base.entries()} == {("conv a", "x plain"), ("conv b", "x blocked 8")}
    assert sorted(p.name for p in path.parent.iterdir()) == ["tuning.json", "tuning.json.lock"]


def test_rows_of_others_are_kept(path: Path) -> None:
    path.parent.mkdir()
    strange = {"problem": "x", "more": [1, 2]}
    path.write_text(json.dumps({"format": 1, "entries": [strange]}))
    Database(path).add([entry()])
    assert strange in json.loads(path.read_text())["entries"]
    assert Database(path).entries() == [entry()]


HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
from tests.test_tuning_database import entry
from clconv.tuning.database import Database
for i in range(20):
    Database(Path(sys.argv[1])).add([entry(f"conv {sys.argv[2]} {i}")])
"""


def test_several_processes_lose_nothing(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)], env=HERE) for n in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    assert {e.problem for e in Database(path).entries()} == {f"conv {n} {i}" for n in range(4) for i in range(20)}


def test_a_dead_writers_lock_is_free(path: Path) -> None:
    Database(path).add([entry("conv a")])
    code = "import os, sys; from pathlib import Path; from clconv.tuning.database import _exclusive\n"
    code += "with _exclusive(Path(sys.argv[1])): os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=HERE)
    Database(path).add([entry("conv b")])
    assert len(Database(path).entries()) == 2


def test_a_lock_that_stays_held_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    path.parent.mkdir()
    with database._exclusive(path), pytest.raises(DataError, match="another process has held its lock"):
        Database(path).add([entry()])


@pytest.mark.parametrize(
    "content", ["", "{", '{"format": 1}', '{"entries": []}', "[]", '{"format": "1", "entries": []}', "\0\xff"], ids=repr
)
def test_a_damaged_file_is_set_aside_with_one_warning(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content, encoding="latin-1")
    with pytest.warns(UserWarning, match=r"was damaged .* it is kept as tuning.json.damaged-0") as caught:
        assert Database(path).entries() == []
        assert Database(path).entries() == []
        Database(path).add([entry()])
    assert len(caught) == 1
    assert (path.parent / "tuning.json.damaged-0").read_text(encoding="latin-1") == content
    assert Database(path).entries() == [entry()]


def test_writing_over_a_damaged_file_rebuilds_it(path: Path) -> None:
    Database(path).add([entry("conv a")])
    for number in range(2):
        path.write_text("no longer JSON")
        with pytest.warns(UserWarning, match=f"damaged-{number}"):
            Database(path).add([entry("conv b")])
    assert [e.problem for e in Database(path).entries()] == ["conv b"]


def test_a_newer_file_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    content = json.dumps({"format": 7, "entries": "in a way nobody knows yet"})
    path.write_text(content)
    with pytest.warns(UserWarning, match="has format 7, this version of clconv knows 1 and is not used; upgrade clconv"):
        assert Database(path).entries() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert Database(path).entries() == []
    with pytest.raises(DataError, match=r"has format 7.*nothing was written: upgrade clconv, or name another file in CLCONV_TUNING_DB"):
        Database(path).add([entry()])
    assert path.read_text() == content


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Database(tmp_path / "file" / "tuning.json").add([entry()])


# Whose entry


def other(name: str, **changes: object) -> DeviceTraits:
    return replace(CPU, name=name, **changes)  # type: ignore[arg-type]


def test_the_nearest_device_wins() -> None:
    problem, stored = entry().problem, entry().stored
    kinds = [
        entry(traits=other("wider", compute_units=64), seconds=4e-3),
        entry(traits=other("sister"), seconds=3e-3),
        entry(traits=replace(CPU, driver="0.9"), seconds=2e-3),
        entry(seconds=1e-3),
    ]
    strangers = [entry(traits=DeviceTraits.gpu()), entry(traits=replace(CPU, simd_width=16))]
    for count in range(1, 5):
        found = Table(kinds[:count] + strangers).find(problem, stored, CPU)
        assert found is kinds[count - 1]
    assert Table(strangers).find(problem, stored, CPU) is None
    assert Table(kinds).find("conv other", stored, CPU) is None


def test_the_users_own_goes_before_what_is_shipped_for_a_device_as_near() -> None:
    problem, stored = entry().problem, entry().stored
    own, shipped, far = entry(seconds=1e-3), entry(seconds=2e-3), entry(traits=other("sister"))
    assert Table([own], [shipped]).find(problem, stored, CPU) is own
    assert Table([far], [shipped]).find(problem, stored, CPU) is shipped


def test_operands_stored_the_same_way_go_before_others() -> None:
    plain, blocked = entry(stored="x plain"), entry()
    table = Table([plain, blocked])
    assert table.find(entry().problem, "x plain", CPU) is plain
    assert table.find(entry().problem, "x blocked 8", CPU) is blocked
    assert table.find(entry().problem, "x strided", CPU) is plain


def test_what_is_shipped_can_be_read() -> None:
    text = (Path(database.__file__).parent / "shipped.json").read_text()
    rows = json.loads(text)
    assert rows["format"] == database.FORMAT
    assert len(database.shipped_entries()) == len(rows["entries"])


# The current table


def test_the_variable_names_the_file_or_turns_it_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert current() is None
    monkeypatch.setenv(VARIABLE, str(path))
    assert database.database_path() == path
    monkeypatch.delenv(VARIABLE)
    default = database.database_path()
    assert default is not None and default.parts[-2:] == ("clconv", "tuning.json")


def test_the_table_is_read_again_when_the_file_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(path))
    shipped = len(database.shipped_entries())
    first = current()
    assert first is not None and len(first) == shipped and current() is first
    Database(path).add([entry()])
    second = current()
    assert second is not None and len(second) == shipped + 1 and current() is second
