import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.files import folder_atomically, read_json, remove_unfinished, write_atomically, write_json, write_text

_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(_json_values)
def test_json_written_is_json_read(tmp_path_factory: pytest.TempPathFactory, value: object):
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_the_path_holds_the_old_content_until_the_new_is_complete(tmp_path: Path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("ne", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
        temporary.write_text("new", encoding="utf-8")

    write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("ne", encoding="utf-8")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_on_the_way_are_made(tmp_path: Path):
    write_text(tmp_path / "a" / "b" / "file.txt", "text")
    assert (tmp_path / "a" / "b" / "file.txt").read_text(encoding="utf-8") == "text"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused_before_anything_is_written(tmp_path: Path, number: float):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"loss": number})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"no file .*absent\.json"):
        read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", json.dumps({"a": 1}).encode()[:-1]])
def test_a_truncated_or_garbled_file_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"value\.json is not valid JSON"):
        read_json(path)


def test_a_folder_is_there_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "a" / "folder"
    with folder_atomically(path) as temporary:
        (temporary / "file").write_text("text", encoding="utf-8")
        assert not path.exists()
    assert (path / "file").read_text(encoding="utf-8") == "text"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_folder_that_was_not_finished_leaves_nothing(tmp_path: Path, error: type[BaseException]):
    def write() -> None:
        with folder_atomically(tmp_path / "folder") as temporary:
            (temporary / "below").mkdir()
            (temporary / "below" / "file").touch()
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_came_into_being_meanwhile_is_left_alone(tmp_path: Path):
    path = tmp_path / "folder"

    def write() -> None:
        with folder_atomically(path) as temporary:
            (temporary / "file").touch()
            path.mkdir()
            (path / "of somebody else").touch()

    with pytest.raises(OSError, match="not empty"):
        write()
    assert [entry.name for entry in path.iterdir()] == ["of somebody else"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_replaced_stays_until_the_new_one_is_whole(tmp_path: Path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()

    def write(fail: bool) -> None:
        with folder_atomically(path, replace=True) as temporary:
            (temporary / "new").touch()
            assert [entry.name for entry in path.iterdir()] == ["old"]
            if fail:
                raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write(fail=True)
    assert [entry.name for entry in path.iterdir()] == ["old"]
    write(fail=False)
    assert [entry.name for entry in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_dead_process_left_is_removed_and_nothing_else(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    folder = tmp_path / "fea[t]ures"
    left = [f".fea[t]ures.{dead.pid}.tmp", f".fea[t]ures.{dead.pid}.old.tmp"]
    others = [
        f".fea[t]ures.{os.getppid()}.tmp",
        f".features.{dead.pid}.tmp",
        ".fea[t]ures.x.tmp",
        ".fea[t]ures.1.2.tmp",
    ]
    for name in (*left, *others):
        (tmp_path / name / "inside").mkdir(parents=True)
    with folder_atomically(folder):  # nothing was at its place: what was there before must stay
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [left[1], *others, f".fea[t]ures.{os.getpid()}.tmp"]
        )
    with folder_atomically(folder, replace=True):
        assert not (tmp_path / left[1]).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["fea[t]ures", *others])


def test_what_killed_writers_leave_is_deleted_and_nothing_else(tmp_path: Path):
    for name in (".weights.safetensors.17.tmp", ".tmpTl3dFw", "index.json", ".hidden", "a.tmp"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"index.json", ".hidden", "a.tmp"}
