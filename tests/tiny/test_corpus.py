from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.tiny import corpus, documents, split_of
from monosema.tiny.corpus import HELDOUT_ONE_IN


def _tree(root: Path, count: int = 64) -> dict[str, str]:
    """A little library of `count` files below `root`; its texts by path."""
    texts = {f"package{i % 4}/module{i}.py": f"x = {i}\n" for i in range(count)}
    for path, text in texts.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return texts


def test_the_two_splits_hold_every_file_once(tmp_path: Path):
    texts = _tree(tmp_path)
    found = [*documents("train", tmp_path), *documents("heldout", tmp_path)]
    assert len(found) == len(texts)
    assert dict(found) == texts


def test_a_document_is_in_the_split_of_its_path(tmp_path: Path):
    _tree(tmp_path)
    assert {split_of(document.path) for document in documents("train", tmp_path)} == {"train"}
    assert {split_of(document.path) for document in documents("heldout", tmp_path)} == {"heldout"}


def test_a_file_that_comes_or_changes_moves_no_other_file(tmp_path: Path):
    texts = _tree(tmp_path)
    before = [document.path for document in documents("train", tmp_path)]
    (tmp_path / before[0]).write_text("changed = True\n", encoding="utf-8")
    (tmp_path / "newcomer.py").write_text("new = True\n", encoding="utf-8")
    after = [document.path for document in documents("train", tmp_path)]
    assert [path for path in after if path in texts] == before


def test_the_share_of_paths_held_out_is_what_it_says():
    heldout = sum(split_of(f"package/module{i}.py") == "heldout" for i in range(16_000))
    expected, deviation = 16_000 / HELDOUT_ONE_IN, (16_000 / HELDOUT_ONE_IN) ** 0.5
    assert abs(heldout - expected) < 5 * deviation


@given(st.text())
def test_the_split_depends_on_the_path_alone(path: str):
    assert split_of(path) == split_of(path)
    assert split_of(path) in ("train", "heldout")


def test_the_order_mixes_the_packages(tmp_path: Path):
    _tree(tmp_path)
    packages = [document.path.split("/")[0] for document in documents("train", tmp_path)]
    assert packages != sorted(packages)


def test_installed_packages_links_and_other_files_are_left_out(tmp_path: Path):
    texts = _tree(tmp_path)
    for folder in ("site-packages", "dist-packages", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "other.py").write_text("theirs = 1\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not Python\n", encoding="utf-8")
    (tmp_path / "link.py").symlink_to(tmp_path / next(iter(texts)))
    assert {d.path for split in ("train", "heldout") for d in documents(split, tmp_path)} == set(texts)


def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path: Path):
    _tree(tmp_path)
    text = "# -*- coding: latin-1 -*-\nname = 'café'\n"
    (tmp_path / "latin.py").write_bytes(text.encode("latin-1"))
    (tmp_path / "liar.py").write_bytes(b"# -*- coding: utf-8 -*-\nname = '\xff'\n")
    found = {d.path: d.text for split in ("train", "heldout") for d in documents(split, tmp_path)}
    assert found["latin.py"] == text
    assert "liar.py" not in found


def test_the_corpus_is_the_texts_of_the_documents(tmp_path: Path):
    _tree(tmp_path)
    assert list(corpus("train", tmp_path)) == [document.text for document in documents("train", tmp_path)]


def test_the_running_interpreter_brings_its_standard_library():
    assert len(list(islice(documents("train"), 200))) == 200
    assert len(list(islice(documents("heldout"), 20))) == 20


def test_a_folder_without_python_source_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no Python source"):
        next(documents("train", tmp_path))


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="unknown split 'test'"):
        next(documents("test"))  # pyright: ignore[reportArgumentType]
